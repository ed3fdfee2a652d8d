"""Only the person sought keeps weight, it fails closed, and nothing is done twice.

The people here are blocks of one colour with a bright face on top; a real, if simple, recogniser and segmenter find
them, so that the whole road from pixels to the written mask is walked.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_item
from maskloss.core.errors import DatasetError, ImageError, PersonError, SettingError
from maskloss.core.images import load_mask
from maskloss.core.masks.keep_person import keep_person
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.people.identity import Identity, MatchRules, OnNoMatch, Outcome
from maskloss.core.warning import collect_warnings
from PIL import Image

from .colour_people import BLUE, GREEN, PINK, RED, ColourRecognizer, ColumnSegmenter

SKIP = MatchRules(on_no_match=OnNoMatch.SKIP)


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., Path]:
    """scene("a", (x, colour), …): people 40 px wide whose faces are 30 px."""

    def draw(name: str, *people: tuple[int, tuple[int, int, int]], alpha: np.ndarray | None = None) -> Path:
        pixels = np.zeros((120, 200, 3), np.uint8)
        for x, colour in people:
            pixels[50:, x : x + 40] = np.array(colour) // 2
            pixels[20:50, x + 5 : x + 35] = colour
        if alpha is not None:
            pixels = np.dstack([pixels, alpha])
        path = tmp_path / f"set/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return draw


def everyone(tmp_path: Path, path: Path, value: int = 128) -> Path:
    """The mask of everyone in a scene, as BuildMasks would have made it."""
    rgb_HWC = np.asarray(Image.open(path).convert("RGB"))
    target = tmp_path / f"everyone/{path.name}"
    target.parent.mkdir(exist_ok=True)
    Image.fromarray((rgb_HWC.any(axis=2) * value).astype(np.uint8)).save(target)
    return target


def identity_of(colour: tuple[int, int, int]) -> Identity:
    return Identity(np.array([colour], np.float32), "colours-1", ("reference",))


class Step:
    """keep_person with what most tests share."""

    def __init__(self, tmp_path: Path) -> None:
        self.out = tmp_path / "out"
        self.recognizer, self.segmenter = ColourRecognizer(), ColumnSegmenter()

    def __call__(self, *items: DatasetItem, rules: MatchRules = SKIP, colour=RED, **options) -> tuple[Dataset, dict]:
        return keep_person(
            Dataset(items), self.recognizer, identity_of(colour), self.segmenter, rules, self.out, **options
        )


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


@pytest.fixture
def group(tmp_path: Path, scene: Callable[..., Path]) -> DatasetItem:
    path = scene("group", (20, GREEN), (80, RED), (140, BLUE))
    return DatasetItem("group", path, LoadSettings(), everyone(tmp_path, path))


def test_the_others_lose_all_weight_and_the_person_none(step: Step, group: DatasetItem) -> None:
    dataset, report = step(group)
    item = dataset.items[0]
    kept_HW, before_HW = load_mask(step.out / "group.png"), load_mask(group.mask_path)
    assert np.array_equal(kept_HW[:, 80:120], before_HW[:, 80:120])
    assert not kept_HW[:, :80].any()
    assert not kept_HW[:, 120:].any()
    assert (item.mask_path, item.tiers_path) == (step.out / "group.png", group.mask_path)
    assert item.person is not None
    assert (item.person.outcome, item.person.chosen) == (Outcome.MATCH, 1)
    row = report["items"][0]
    assert (row["state"], row["decision"], [face["chosen"] for face in row["faces"]]) == (
        "written", "match", [False, True, False],
    )  # fmt: skip
    assert row["area"] == pytest.approx((30 * 30 + 40 * 70) / (120 * 200), abs=1e-6)
    assert row["coverage"] == pytest.approx(kept_HW.mean() / 255, abs=1e-6)


def test_masks_whose_licence_forbids_biometrics_are_warned_about(step: Step, group: DatasetItem) -> None:
    assert step(group)[1]["warnings"] == []
    with open_ledger(group.mask_path.parent, "BuildMasks") as ledger:
        ledger.finish("group", "", group.mask_path, {"forbids_biometrics": "sapiens2 seg"})
    (warning,) = step(group)[1]["warnings"]
    assert "built by sapiens2 seg, whose licence forbids biometric processing" in warning


@pytest.mark.parametrize(
    ("on_no_match", "said"),
    [
        (OnNoMatch.SKIP, "nothing is left to train on"),
        (OnNoMatch.EMPTY, "nothing is left to train on"),
        (OnNoMatch.LARGEST, "only the largest faces were kept, whoever they are"),
    ],
)
def test_the_person_in_no_photograph_is_warned_of(
    step: Step, scene: Callable[..., Path], on_no_match: OnNoMatch, said: str
) -> None:
    strangers = [DatasetItem(name, scene(name, (20, BLUE)), LoadSettings()) for name in ("a", "b")]
    rules = MatchRules(on_no_match=on_no_match)
    for _ in range(2):  # a run that finds everything done says so as well
        with collect_warnings(lambda _: None) as warnings:
            report = step(*strangers, rules=rules)[1]
        (text,) = warnings.texts
        assert report["warnings"] == [text]
        assert "recognised in none of 2 photographs" in text
        assert said in text
        assert "the most alike is " in text
    known = DatasetItem("c", scene("c", (20, RED)), LoadSettings())
    assert step(*strangers, known, rules=rules)[1]["warnings"] == []


def test_a_photograph_without_the_person_is_left_out_and_nobody_kept(
    step: Step, group: DatasetItem, scene: Callable[..., Path]
) -> None:
    strangers = DatasetItem("strangers", scene("strangers", (20, GREEN), (140, BLUE)), LoadSettings())
    dataset, report = step(group, strangers)
    assert [item.name for item in dataset.items] == ["group"]
    left = dataset.left_out[0]
    assert left.item.name == "strangers"
    assert left.item.person is not None
    assert left.item.person.outcome is Outcome.SKIPPED
    assert "0.90 is needed" in left.reason
    assert not (step.out / "strangers.png").exists()
    assert [row["name"] for row in report["items"]] == ["strangers", "group"], "left-out ones come first"
    assert report["counts"] == {
        "items": 2, "left_out": 1, "written": 1, "unchanged": 0, "kept": 0, "decided_match": 1, "decided_skipped": 1,
    }  # fmt: skip
    assert report["text"].splitlines()[0].startswith("left out  strangers  2 faces [0.0")
    assert "1.00*" in report["text"].splitlines()[1]


def test_the_rules_may_ask_for_an_empty_mask_or_an_error(step: Step, scene: Callable[..., Path]) -> None:
    strangers = DatasetItem("strangers", scene("strangers", (20, GREEN)), LoadSettings())
    dataset, report = step(strangers, rules=MatchRules(on_no_match=OnNoMatch.EMPTY))
    assert report["items"][0]["decision"] == "empty"
    assert not load_mask(step.out / "strangers.png").any()
    assert len(dataset.items) == 1
    with pytest.raises(PersonError, match=r"^strangers: The person cannot be told apart.*face 0"):
        step(strangers, rules=MatchRules(on_no_match=OnNoMatch.ERROR), overwrite=True)


def test_two_who_look_alike_are_no_match(step: Step, scene: Callable[..., Path]) -> None:
    dataset, _ = step(DatasetItem("twins", scene("twins", (20, RED), (140, PINK)), LoadSettings()))
    assert not dataset.items
    assert "too close to each other" in dataset.left_out[0].reason


def test_a_choice_names_the_face_of_one_photograph(step: Step, group: DatasetItem) -> None:
    dataset, report = step(group, choices={"group": 2})
    assert report["items"][0]["decision"] == "index"
    assert not load_mask(step.out / "group.png")[:, :140].any()
    assert dataset.items[0].person is not None
    assert dataset.items[0].person.chosen == 2
    with pytest.raises(SettingError, match=r"choices names 'grop', which is no item.*did you mean 'group'"):
        step(group, choices={"grop": 0})
    with pytest.raises(PersonError, match=r"group: face_index is 7, but the picture shows 3 faces"):
        step(group, choices={"group": 7})


def test_weights_may_come_from_alpha_or_from_nowhere(step: Step, scene: Callable[..., Path]) -> None:
    alpha_HW = np.full((120, 200), 51, np.uint8)
    from_alpha = DatasetItem(
        "alpha", scene("alpha", (20, RED), (140, BLUE), alpha=alpha_HW), LoadSettings(alpha_mask=True)
    )
    bare = DatasetItem("bare", scene("bare", (20, RED), (140, BLUE)), LoadSettings())
    dataset, _ = step(from_alpha, bare)
    for item, value in zip(dataset.items, (51, 255), strict=True):
        loaded = load_item(item)
        assert loaded.origin is MaskOrigin.FILE
        assert set(np.unique(load_mask(step.out / f"{item.name}.png"))) == {0, value}
        assert item.tiers_path is None


def test_a_second_run_recognises_nothing_and_touches_nothing(
    step: Step, group: DatasetItem, scene: Callable[..., Path]
) -> None:
    strangers = DatasetItem("strangers", scene("strangers", (20, GREEN)), LoadSettings())
    first = step(group, strangers)
    before = {path: path.stat().st_mtime_ns for path in step.out.iterdir()}
    again = step(group, strangers)
    assert (step.recognizer.calls, step.segmenter.calls) == (2, 1), "nobody is segmented where nobody is chosen"
    assert again[0] == first[0]
    assert [row["state"] for row in again[1]["items"]] == ["left out", "unchanged"]
    assert {path: path.stat().st_mtime_ns for path in step.out.iterdir()} == before


@pytest.mark.parametrize("change", ["identity", "mask", "photograph", "rules", "margin"])
def test_what_changed_is_decided_again(
    step: Step, group: DatasetItem, tmp_path: Path, scene: Callable[..., Path], change: str
) -> None:
    step(group)
    before_HW = load_mask(step.out / "group.png")
    if change == "identity":
        report = step(group, colour=BLUE)[1]
    elif change == "mask":
        everyone(tmp_path, group.media_path, value=200)
        report = step(group)[1]
    elif change == "photograph":
        scene("group", (20, RED), (80, GREEN), (140, BLUE))
        report = step(group)[1]
    elif change == "rules":
        report = step(group, rules=MatchRules(face_index=0))[1]
    else:
        report = step(group, dilate_px=30)[1]
    assert report["items"][0]["state"] == "written"
    assert not np.array_equal(load_mask(step.out / "group.png"), before_HW)


def test_a_mask_of_an_earlier_search_does_not_stay_when_the_person_is_not_found(step: Step, group: DatasetItem) -> None:
    step(group)
    dataset, _ = step(group, colour=(130, 130, 130))
    assert not dataset.items
    assert not (step.out / "group.png").exists()


def test_a_stranger_file_at_the_target_is_neither_used_nor_overwritten(step: Step, group: DatasetItem) -> None:
    step.out.mkdir()
    foreign = step.out / "group.png"
    Image.fromarray(np.full((120, 200), 255, np.uint8)).save(foreign)
    content = foreign.read_bytes()
    with pytest.raises(DatasetError, match=r"group\.png was not written for this person"):
        step(group)
    assert foreign.read_bytes() == content
    assert step(group, overwrite=True)[1]["items"][0]["state"] == "written"


def test_a_mask_drawn_for_a_photograph_that_was_left_out_is_used(step: Step, scene: Callable[..., Path]) -> None:
    item = DatasetItem("back", scene("back", (20, GREEN)), LoadSettings())
    assert not step(item)[0].items
    drawn = np.zeros((120, 200), np.uint8)
    drawn[:, 20:60] = 255
    Image.fromarray(drawn).save(step.out / "back.png")
    dataset, report = step(item)
    assert report["items"][0]["state"] == "kept"
    assert report["items"][0]["decision"] == "given"
    assert report["items"][0]["area"] == pytest.approx(0.2)
    assert dataset.items[0].mask_path == step.out / "back.png"


def test_a_mask_edited_by_hand_is_kept_until_something_else_changes(step: Step, group: DatasetItem) -> None:
    step(group)
    Image.fromarray(np.zeros((120, 200), np.uint8)).save(step.out / "group.png")
    assert step(group)[1]["items"][0]["state"] == "kept"
    with pytest.raises(DatasetError, match="was not written for this person"):
        step(group, colour=BLUE)


def test_instance_masks_are_written_binary_and_renewed(step: Step, group: DatasetItem, tmp_path: Path) -> None:
    instances = tmp_path / "instances"
    step(group)
    report = step(group, instance_directory=instances)[1]
    assert report["items"][0]["state"] == "written", "the mask is there, the instance mask is not"
    mask_HW = load_mask(instances / "group.png")
    assert set(np.unique(mask_HW)) == {0, 255}
    assert np.array_equal(mask_HW > 0, load_mask(step.out / "group.png") > 0)
    assert step(group, instance_directory=instances)[1]["items"][0]["state"] == "unchanged"
    step(group, colour=BLUE, instance_directory=instances)
    assert not load_mask(instances / "group.png")[:, :140].any(), "ours are made for who is sought now"
    step(group, colour=(130, 130, 130), instance_directory=instances)
    assert not (instances / "group.png").exists()


def test_an_instance_mask_put_there_is_used_without_looking(step: Step, group: DatasetItem, tmp_path: Path) -> None:
    given = np.zeros((60, 100), np.uint8)
    given[:, 70:90] = 255
    (tmp_path / "instances").mkdir()
    Image.fromarray(given).save(tmp_path / "instances/group.png")
    content = (tmp_path / "instances/group.png").read_bytes()
    dataset, report = step(group, instance_directory=tmp_path / "instances")
    assert step.recognizer.calls == 0
    assert report["items"][0]["decision"] == "given"
    assert dataset.items[0].person is None
    kept_HW = load_mask(step.out / "group.png")
    assert np.array_equal(kept_HW[:, 140:180], load_mask(group.mask_path)[:, 140:180])
    assert not kept_HW[:, :140].any()
    assert (tmp_path / "instances/group.png").read_bytes() == content
    assert step(group, instance_directory=tmp_path / "instances")[1]["items"][0]["state"] == "unchanged"
    Image.fromarray(given[:, :50]).save(tmp_path / "instances/group.png")
    with pytest.raises(ImageError, match="the mask of group is 50x60 and its image 200x120"):
        step(group, instance_directory=tmp_path / "instances")


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("file", ["sub/group.webp", "GROUP.bmp", "sub/Group.tif"])
def test_instance_masks_made_elsewhere_are_found_like_mask_files(
    step: Step, group: DatasetItem, tmp_path: Path, file: str, writable: bool
) -> None:
    instances = tmp_path / "instances"
    (instances / file).parent.mkdir(parents=True)
    given = np.zeros((120, 200), np.uint8)
    given[:, 150:160] = 255
    Image.fromarray(given).save(instances / file, **({"lossless": True} if file.endswith("webp") else {}))
    item = replace(group, name="sub/group")
    for state in ("written", "unchanged"):
        report = step(item, instance_directory=instances, instances_writable=writable)[1]
        assert [(row["state"], row["decision"]) for row in report["items"]] == [(state, "given")]
    kept_HW = load_mask(step.out / "sub/group.png")
    assert np.array_equal(kept_HW > 0, (given > 0) & (load_mask(group.mask_path) > 0))
    assert [path for path in instances.rglob("*") if path.is_file()] == [instances / file]


def test_a_folder_that_is_only_read_stays_as_it_is_and_the_missing_masks_are_made(
    step: Step, group: DatasetItem, scene: Callable[..., Path], tmp_path: Path
) -> None:
    other = DatasetItem("other", scene("other", (80, RED), (140, BLUE)), LoadSettings())
    instances = tmp_path / "instances"
    instances.mkdir()
    Image.new("L", (200, 120), 255).save(instances / "other.png")
    for _ in range(2):
        report = step(group, other, instance_directory=instances, instances_writable=False)[1]
        assert {row["name"]: row["decision"] for row in report["items"]} == {"group": "match", "other": "given"}
        assert [path.name for path in instances.iterdir()] == ["other.png"]
        assert report["warnings"] == [
            f"{instances} has no masks of 1 items and is only read, so what was found is not written there."
        ]


def test_two_instance_masks_of_one_photograph_and_the_photographs_themselves_are_errors(
    step: Step, group: DatasetItem, tmp_path: Path
) -> None:
    instances = tmp_path / "instances"
    step(group, instance_directory=instances)
    Image.new("L", (200, 120), 255).save(instances / "group.webp")
    with pytest.raises(DatasetError, match="Two instance mask files could belong to group"):
        step(group, instance_directory=instances)
    with pytest.raises(DatasetError, match="holds the photograph group itself"):
        step(group, instance_directory=group.media_path.parent, instances_writable=False)


def test_an_instance_mask_of_ours_is_not_taken_for_another_photograph(
    step: Step, group: DatasetItem, scene: Callable[..., Path], tmp_path: Path
) -> None:
    instances = tmp_path / "instances"
    step(group, instance_directory=instances)
    moved = DatasetItem("sub/group", scene("sub/group", (20, RED), (140, BLUE)), LoadSettings())
    report = step(moved, instance_directory=instances)[1]
    assert [(row["name"], row["decision"]) for row in report["items"]] == [("sub/group", "match")]
    assert load_mask(instances / "sub/group.png")[60, 40] == 255


def test_an_instance_mask_edited_for_someone_else_is_an_error(step: Step, group: DatasetItem, tmp_path: Path) -> None:
    instances = tmp_path / "instances"
    step(group, instance_directory=instances)
    edited = load_mask(instances / "group.png")
    edited[:60] = 0
    Image.fromarray(edited).save(instances / "group.png")
    step(group, instance_directory=instances)
    assert not load_mask(step.out / "group.png")[:60].any()
    with pytest.raises(DatasetError, match="was edited by hand for another person"):
        step(group, colour=BLUE, instance_directory=instances)


def test_directories_that_would_destroy_something_are_refused(step: Step, group: DatasetItem, tmp_path: Path) -> None:
    step.out = tmp_path / "everyone"
    with pytest.raises(DatasetError, match="The mask of everyone in group lies at"):
        step(group)
    step.out = tmp_path / "set"
    with pytest.raises(DatasetError, match="would lie beside the photographs"):
        step(group)
    step.out = tmp_path / "out"
    with pytest.raises(SettingError, match="instance_directory and output_directory are both"):
        step(group, instance_directory=tmp_path / "out")
    with pytest.raises(DatasetError, match="would lie beside the photographs"):
        step(group, instance_directory=tmp_path / "set")


def test_an_interrupt_keeps_what_was_decided(step: Step, group: DatasetItem, scene: Callable[..., Path]) -> None:
    class Impatient:
        def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
            if done == 1:
                raise KeyboardInterrupt

    second = DatasetItem("second", scene("second", (20, RED)), LoadSettings())
    with pytest.raises(KeyboardInterrupt):
        step(group, second, progress=Impatient())
    report = step(group, second)[1]
    assert [row["state"] for row in report["items"]] == ["unchanged", "written"]


def _with_hair(item: DatasetItem, *columns: tuple[int, int], value: int = 80, note: bool = True) -> DatasetItem:
    """The item with hair in the mask of everyone, at columns beside the heads, as Build Masks notes it."""
    mask_HW = load_mask(item.mask_path)
    for left, right in columns:
        mask_HW[20:50, left:right] = value
    Image.fromarray(mask_HW).save(item.mask_path)
    with open_ledger(item.mask_path.parent, "BuildMasks") as ledger:
        ledger.finish(item.name, "", item.mask_path, {"hair_values": [80, 0]} if note else {})
    return item


@pytest.fixture
def apart(tmp_path: Path, scene: Callable[..., Path]) -> DatasetItem:
    path = scene("apart", (20, GREEN), (130, RED))
    return DatasetItem("apart", path, LoadSettings(), everyone(tmp_path, path))


def test_hair_beside_the_persons_own_mask_keeps_its_weight_and_others_do_not(
    step: Step, apart: DatasetItem, tmp_path: Path
) -> None:
    _with_hair(apart, (170, 176), (60, 66))  # the columns end at 170 and 60
    _, report = step(apart, instance_directory=tmp_path / "people")
    kept_HW, instance_HW = load_mask(step.out / "apart.png"), load_mask(tmp_path / "people/apart.png")
    assert (kept_HW[20:50, 170:176] == 80).all()
    assert not kept_HW[:, :130].any()
    np.testing.assert_array_equal(instance_HW == 255, kept_HW > 0)
    assert report["items"][0]["area"] == pytest.approx((kept_HW > 0).mean(), abs=1e-6)
    assert step(apart, instance_directory=tmp_path / "people")[1]["items"][0]["state"] == "unchanged"


def test_hair_that_reaches_from_head_to_head_is_nobodys(step: Step, scene: Callable[..., Path], tmp_path: Path) -> None:
    path = scene("near", (70, GREEN), (130, RED))
    step(_with_hair(DatasetItem("near", path, LoadSettings(), everyone(tmp_path, path)), (110, 130)))
    kept_HW = load_mask(step.out / "near.png")
    assert kept_HW[20:50, 135:165].all()
    assert not kept_HW[:, :130].any()


@pytest.mark.parametrize("noted", [False, True])
def test_masks_that_do_not_tell_hair_keep_what_they_kept(step: Step, apart: DatasetItem, noted: bool) -> None:
    """Nothing noted; or another value than hair's beside the head."""
    step(_with_hair(apart, (170, 176), value=128, note=noted))
    assert not load_mask(step.out / "apart.png")[:, 170:].any()


def test_masks_from_before_hair_was_noted_are_made_again(step: Step, apart: DatasetItem) -> None:
    step(_with_hair(apart, (170, 176), note=False))
    assert not load_mask(step.out / "apart.png")[:, 170:].any()
    _with_hair(apart)
    assert step(apart)[1]["items"][0]["state"] == "written"
    assert (load_mask(step.out / "apart.png")[20:50, 170:176] == 80).all()


def test_a_mask_edited_before_hair_was_noted_stays(step: Step, apart: DatasetItem) -> None:
    step(_with_hair(apart, (170, 176), note=False))
    edited = np.full((120, 200), 7, np.uint8)
    Image.fromarray(edited).save(step.out / "apart.png")
    assert step(_with_hair(apart))[1]["items"][0]["state"] == "kept"
    assert (load_mask(step.out / "apart.png") == 7).all()
