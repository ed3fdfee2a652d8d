"""Each photograph becomes one item for every person of the list, in which only they have weight; it fails closed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.override import Correction, write_correction
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_item
from maskloss.core.dataset.shard import Shard
from maskloss.core.errors import DatasetError, PersonError, SettingError
from maskloss.core.images import load_mask
from maskloss.core.masks.build_masks import STEP as BUILD_STEP
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.people.decision import MatchRules, OnNoMatch, Outcome
from maskloss.core.people.people import OwnWeights
from PIL import Image

from .colour_people import BLUE, GREEN, PINK, RED
from .several_people import BLUMA, GRETA, People, person


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


def test_a_group_photograph_becomes_one_item_for_each_person_with_masks_that_share_nothing(
    people: People, group: DatasetItem
) -> None:
    dataset, report = people(replace(group, caption="at the sea"))
    assert [item.name for item in dataset.items] == ["group@greta", "group@bluma"]
    assert [item.caption for item in dataset.items] == ["gr3t4, at the sea", "bluma, at the sea"]
    assert [item.subject for item in dataset.items] == ["greta", "bluma"]
    assert {item.whole_name for item in dataset.items} == {"group"}
    assert {item.media_path for item in dataset.items} == {group.media_path}
    before_HW = load_mask(group.mask_path)
    greta_HW, bluma_HW = (load_mask(people.out / f"group@{name}.png") for name in ("greta", "bluma"))
    assert np.array_equal(greta_HW[:, 20:60], before_HW[:, 20:60])
    assert not greta_HW[:, 60:].any()
    assert np.array_equal(bluma_HW[:, 140:180], before_HW[:, 140:180])
    assert not bluma_HW[:, :140].any()
    assert [item.person.chosen for item in dataset.items if item.person] == [0, 2]
    assert report["people"] == [
        {"name": name, "items": 1, "per_epoch": 1, "left_out": 0, "absent": 0} for name in ("greta", "bluma")
    ]
    assert (people.recognizer.calls, people.segmenter.calls) == (1, 1), "everyone is found in one pass"


def test_a_second_run_finds_everything_done_and_another_person_is_made_anew(
    people: People, group: DatasetItem, scene: Callable[..., Path]
) -> None:
    strangers = DatasetItem("strangers", scene("strangers", (20, RED)), LoadSettings())
    first = people(group, strangers, together=0.3)
    times = {path: path.stat().st_mtime_ns for path in people.out.iterdir()}
    again = people(group, strangers, together=0.3)
    assert people.recognizer.calls == 2
    assert again[0] == first[0]
    assert {row["state"] for row in again[1]["items"]} == {"unchanged"}
    assert {path: path.stat().st_mtime_ns for path in people.out.iterdir()} == times
    rosa = person("bluma", RED)
    moved, _ = people(group, strangers, together=0.3, people=(GRETA, rosa))
    assert load_mask(people.out / "group@bluma.png")[60, 100], "under the same name there is somebody else now"
    assert [item.name for item in moved.items if item.subject == "bluma"] == ["group@bluma", "strangers@bluma"]


def test_who_is_not_in_a_photograph_has_no_item_of_it_and_one_with_nobody_is_left_out(
    people: People, scene: Callable[..., Path]
) -> None:
    alone = DatasetItem("alone", scene("alone", (20, GREEN)), LoadSettings())
    strangers = DatasetItem("strangers", scene("strangers", (20, RED)), LoadSettings())
    dataset, report = people(alone, strangers)
    assert [item.name for item in dataset.items] == ["alone@greta"]
    assert [left.item.name for left in dataset.left_out] == ["strangers"]
    assert "Nobody of the list is in this picture" in dataset.left_out[0].reason
    assert [row["name"] for row in report["items"]] == ["alone@greta"]
    assert report["people"][1] == {"name": "bluma", "items": 0, "per_epoch": 0, "left_out": 0, "absent": 2}
    assert any("bluma was recognised in none" in text for text in report["warnings"])
    strict = MatchRules(on_no_match=OnNoMatch.ERROR)
    assert len(people(alone, rules=strict)[0].items) == 1, "that bluma is elsewhere is no error"
    with pytest.raises(PersonError, match="strangers: Nobody of the list"):
        people(strangers, rules=strict)


def test_a_face_that_two_could_have_is_nobodys(people: People, scene: Callable[..., Path]) -> None:
    item = DatasetItem("one", scene("one", (20, RED)), LoadSettings())
    dataset, report = people(item, people=(person("rosa", RED), person("pia", PINK)))
    assert not dataset.items
    assert {left.item.name for left in dataset.left_out} == {"one@rosa", "one@pia"}
    assert not list(people.out.glob("*.png"))
    assert {row["decision"] for row in report["items"]} == {"skipped"}
    empty, _ = people(
        item, people=(person("rosa", RED), person("pia", PINK)), rules=MatchRules(on_no_match=OnNoMatch.EMPTY)
    )
    assert [each.person.outcome for each in empty.items if each.person] == [Outcome.EMPTY] * 2
    assert not load_mask(people.out / "one@rosa.png").any()


def test_the_item_of_everyone_has_all_masks_all_triggers_and_its_share_of_an_epoch(
    people: People, group: DatasetItem, scene: Callable[..., Path]
) -> None:
    alone = [DatasetItem(f"alone{n}", scene(f"alone{n}", (20, GREEN)), LoadSettings()) for n in range(3)]
    dataset, report = people(group, *alone, together=0.2)
    by_name = {item.name: item for item in dataset.items}
    joint = by_name["group@together"]
    assert joint.caption == "gr3t4 and bluma"
    each_HW = [load_mask(people.out / f"group@{name}.png") for name in ("greta", "bluma")]
    assert np.array_equal(load_mask(people.out / "group@together.png"), np.maximum(*each_HW))
    times = {name: sum(item.repeats for item in dataset.items if item.subject == name) for name in ("greta", "bluma")}
    assert times == {"greta": 4, "bluma": 4}
    assert joint.repeats == 2, "2 of 10"
    assert [row["people"] for row in report["items"] if row["name"] == "group@together"] == [["greta", "bluma"]]
    assert "alone0@together" not in by_name


def test_the_others_keep_as_much_of_their_weight_as_asked_for(people: People, group: DatasetItem) -> None:
    people(group, others_weight=51)
    greta_HW = load_mask(people.out / "group@greta.png")
    assert set(np.unique(greta_HW[:, 20:60])) <= {0, 128}
    assert greta_HW[60, 150] == round(128 * 51 / 255)
    assert not greta_HW[:, 80:120].any(), "a stranger keeps none"


def test_a_persons_own_weights_take_the_place_of_the_tiers(
    people: People, scene: Callable[..., Path], tmp_path: Path
) -> None:
    path = scene("party", (20, GREEN), (140, BLUE))
    mask_HW = np.where(np.asarray(Image.open(path)).any(axis=2), 128, 0).astype(np.uint8)
    mask_HW[20:50][mask_HW[20:50] > 0] = 255
    target = tmp_path / "masks/party.png"
    target.parent.mkdir()
    Image.fromarray(mask_HW).save(target)
    item = DatasetItem("party", path, LoadSettings(), target)
    faceless = person("greta", GREEN, weights=OwnWeights(face=0, body=200))
    people(item, people=(faceless, BLUMA))
    greta_HW, bluma_HW = (load_mask(people.out / f"party@{name}.png") for name in ("greta", "bluma"))
    assert (greta_HW[30, 40], greta_HW[80, 40]) == (0, 200)
    assert (bluma_HW[30, 160], bluma_HW[80, 160]) == (255, 128)
    with open_ledger(target.parent, BUILD_STEP) as ledger:
        ledger.finish("party", "", target, {"part_values": {"face": None, "hair": 80, "background": 0}})
    with pytest.raises(DatasetError, match="greta has a face_weight of 0, but the mask of party does not tell"):
        people(item, people=(faceless, BLUMA), overwrite=True)


def test_a_persons_own_text_file_wins_over_the_template(people: People, group: DatasetItem) -> None:
    (group.media_path.parent / "group.greta.txt").write_text("gr3t4 laughing")
    (group.media_path.parent / "group.together.txt").write_text("both at the sea")
    dataset, _ = people(
        replace(group, caption="at the sea"), together=0.5, caption_template="{name} ({class_noun}): {caption}"
    )
    assert [item.caption for item in dataset.items] == [
        "gr3t4 laughing", "bluma (person): at the sea", "both at the sea",
    ]  # fmt: skip
    assert dataset.items[0].caption_path == group.media_path.parent / "group.greta.txt"


def test_a_choice_and_a_given_mask_are_of_one_persons_item(people: People, group: DatasetItem, tmp_path: Path) -> None:
    dataset, _ = people(group, choices={"group@greta": 1})
    assert not load_mask(people.out / "group@greta.png")[:, :80].any()
    assert [item.person.outcome for item in dataset.items if item.person] == [Outcome.INDEX, Outcome.MATCH]
    with pytest.raises(SettingError, match="choices names 'group', which is no item"):
        people(group, choices={"group": 1})
    given = np.zeros((120, 200), np.uint8)
    given[:, 20:100] = 255
    (tmp_path / "instances").mkdir()
    Image.fromarray(given).save(tmp_path / "instances/group@greta.png")
    dataset, report = people(group, instance_directory=tmp_path / "instances")
    assert {row["name"]: row["decision"] for row in report["items"]} == {"group@greta": "given", "group@bluma": "match"}
    assert load_mask(people.out / "group@greta.png")[60, 90]
    assert (tmp_path / "instances/group@bluma.png").exists()


def test_a_grown_mask_never_reaches_into_somebody_else(people: People, scene: Callable[..., Path]) -> None:
    item = DatasetItem("close", scene("close", (20, GREEN), (60, BLUE)), LoadSettings())
    people(item, dilate_px=30)
    greta_HW, bluma_HW = (load_mask(people.out / f"close@{name}.png") for name in ("greta", "bluma"))
    assert greta_HW[60, 5], "it grows to where nobody is"
    assert not greta_HW[60, 60:100].any()
    assert not bluma_HW[60, 20:60].any()


def test_what_was_painted_by_hand_is_cut_to_each_person(people: People, group: DatasetItem, tmp_path: Path) -> None:
    painted_HW = np.zeros((120, 200), np.bool_)
    painted_HW[:30] = True
    path = tmp_path / "correction.png"
    write_correction(path, Correction(np.full((120, 200), 200, np.uint8), painted_HW))
    dataset, _ = people(replace(group, correction_path=path))
    greta_HW = np.asarray(load_item(dataset.items[0]).weights_HW)
    assert greta_HW[25, 40] == pytest.approx(200 / 255)
    assert not greta_HW[:, 60:].any()


def test_lists_that_cannot_be_kept_are_refused(people: People, group: DatasetItem) -> None:
    with pytest.raises(SettingError, match="The list of people is empty"):
        people(group, people=())
    with pytest.raises(SettingError, match="nobody knows whose the largest face is"):
        people(group, rules=MatchRules(on_no_match=OnNoMatch.LARGEST))
    dataset, _ = people(group)
    with pytest.raises(DatasetError, match="group@greta is one person's item already"):
        people(*dataset.items)


def test_photographs_are_counted_once(people: People, group: DatasetItem, scene: Callable[..., Path]) -> None:
    strangers = DatasetItem("strangers", scene("strangers", (20, RED)), LoadSettings())
    dataset, _ = people(group, strangers)
    assert isinstance(dataset, Dataset)
    assert dataset.photographs == (1, 1)


def test_a_shard_says_that_it_balances_its_own_photographs_alone(
    people: People, group: DatasetItem, scene: Callable[..., Path]
) -> None:
    alone = DatasetItem("alone", scene("alone", (20, GREEN)), LoadSettings())
    part = Shard(1, 2).take(Dataset((group, alone)))
    assert not any("shard" in text for text in people(group)[1]["warnings"])
    _, report = people(*part.items, left_out=part.left_out)
    assert any("Each shard balances its own photographs" in text for text in report["warnings"])
