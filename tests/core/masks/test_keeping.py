"""What is there already is found out, and only what is missing is made."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.override import Correction, write_correction
from maskloss.core.dataset.items import DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_item
from maskloss.core.errors import DatasetError
from maskloss.core.images import load_mask
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.people.decision import MatchRules
from PIL import Image

from .colour_people import BLUE, GREEN, RED
from .one_person import Step, everyone


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


def test_a_correction_lies_over_what_is_kept_and_not_under_it(step: Step, group: DatasetItem, tmp_path: Path) -> None:
    size = load_item(group).size
    step(group)
    before = load_mask(step.out / f"{group.name}.png")
    painted_HW = np.zeros(size[::-1], bool)
    painted_HW[:10] = True
    write_correction(tmp_path / "hand.png", Correction(np.full(size[::-1], 80, np.uint8), painted_HW))
    corrected = replace(group, correction_path=tmp_path / "hand.png")
    dataset, report = step(corrected)
    assert [row["state"] for row in report["items"]] == ["unchanged"]
    assert np.array_equal(load_mask(step.out / f"{group.name}.png"), before)
    step(corrected, rules=MatchRules(face_index=1))
    weights_HW = load_item(dataset.items[0]).full_weights_HW
    assert np.unique(weights_HW[:10]).tolist() == [np.float32(80 / 255)]
    assert not np.isin(np.uint8(80), load_mask(step.out / f"{group.name}.png"))
