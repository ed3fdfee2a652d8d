"""Which masks tell hair by its weight, and that a photograph's hair survives from Build Masks to Keep Person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.ledger_records import records_in
from maskloss.core.images import load_mask
from maskloss.core.masks.build_masks import STEP, build_masks
from maskloss.core.masks.keep_person import PersonOutput, keep_person
from maskloss.core.masks.known_hair import hair_values, known_hair_values, read_seen_hair, seen_in
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.masks.person_search import PersonSearch
from maskloss.core.parts.part_map import PartMap, PartScheme
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.people.decision import MatchRules
from maskloss.core.people.identity import Identity
from PIL import Image


@pytest.mark.parametrize(
    ("tiers", "expected"),
    [
        (TierWeights(), [80, 0]),
        (TierWeights(face=200, body=200, hair=5, background=10), [5, 10]),
        (TierWeights(hair=128), None),
        (TierWeights(hair=255), None),
        (TierWeights(hair=0), None),
        (TierWeights(body=0), None),
        (TierWeights(classes=(("Left_Shoe", 80),)), None),
        (TierWeights(classes=(("Left_Shoe", 0),)), None),
        (TierWeights(classes=(("Left_Shoe", 60),)), [80, 0]),
    ],
)
def test_hair_is_told_where_nothing_else_has_its_value_nor_the_backgrounds(
    tiers: TierWeights, expected: list[int] | None
) -> None:
    assert hair_values(tiers) == expected
    assert hair_values(tiers, 4) == (None if expected is None else [*expected, 4])


def _item(tmp_path: Path, shape: tuple[int, int] = (20, 30)) -> DatasetItem:
    mask_HW = np.zeros(shape, np.uint8)
    mask_HW[:, 5:10], mask_HW[:, 10:12], mask_HW[:, 12:20] = 255, 80, 128
    (tmp_path / "masks/a").mkdir(parents=True)
    Image.fromarray(mask_HW).save(tmp_path / "masks/a/b.png")
    return DatasetItem("a/b", tmp_path / "a/b.png", LoadSettings(), tmp_path / "masks/a/b.png")


def test_what_the_mask_shows_is_read_as_noted(tmp_path: Path) -> None:
    item = _item(tmp_path)
    seen = read_seen_hair(item, (80, 0), (30, 20))
    assert seen is not None
    columns = np.arange(30)
    np.testing.assert_array_equal(seen.hair_HW[3], (columns >= 10) & (columns < 12))
    np.testing.assert_array_equal(seen.people_HW[3], ((columns >= 5) & (columns < 20)) & ~seen.hair_HW[3])
    assert read_seen_hair(item, (79, 0), (30, 20)) is None
    assert read_seen_hair(item, (80, 0), (60, 40)) is None


@pytest.mark.parametrize("noted", [[80, 0], None, "80", [80], [80.5, 0]])
def test_values_are_known_by_the_ledger_and_only_where_they_are_sound(tmp_path: Path, noted: object) -> None:
    item = _item(tmp_path)
    assert known_hair_values([item], STEP) == {}
    with open_ledger(tmp_path / "masks", STEP) as ledger:
        ledger.finish("a/b", "", item.mask_path, {"hair_values": noted})
    assert known_hair_values([item], STEP) == ({"a/b": (80, 0)} if noted == [80, 0] else {})
    assert known_hair_values([replace(item, mask_path=None)], STEP) == {}


def test_parts_say_what_is_hair_and_what_else_of_people():
    scheme = PartScheme(
        "five", ("Background", "Face", "Hair", "Body", "Shoe"), frozenset(("Face",)), frozenset(("Hair",))
    )
    seen = seen_in(PartMap(np.array([[0, 1, 2, 3, 4]], np.uint8), scheme))
    np.testing.assert_array_equal(seen.hair_HW, [[False, False, True, False, False]])
    np.testing.assert_array_equal(seen.people_HW, [[False, True, False, True, True]])


@pytest.mark.parametrize(("noted", "known"), [([80, 0, 4], True), ([80, 0], False), ([80, 0, 0], False)])
def test_of_a_video_it_is_known_only_with_the_frames_that_were_segmented(
    tmp_path: Path, make_video: Callable[..., Path], noted: list[int], known: bool
) -> None:
    path = make_video(tmp_path / "film.mkv", np.zeros((3, 16, 16, 3), np.uint8))
    item = DatasetItem("film", path, LoadSettings(), tmp_path / "masks/film.mkv")
    with open_ledger(tmp_path / "masks", STEP) as ledger:
        make_video(tmp_path / "masks/film.mkv", np.zeros((3, 16, 16, 3), np.uint8))
        ledger.finish("film", "", item.mask_path, {"hair_values": noted})
    assert known_hair_values([item], STEP) == ({"film": tuple(noted)} if known else {})


@pytest.mark.models
def test_from_photograph_to_the_one_person_her_hair_stays(
    tmp_path: Path, sample_photograph: Callable[[int], np.ndarray]
) -> None:
    """The right-hand woman of three, whose person mask ends in the middle of her long hair."""
    rgb_HWC = sample_photograph(1)
    Image.fromarray(rgb_HWC).save(tmp_path / "three.png")
    item = DatasetItem("three", tmp_path / "three.png", LoadSettings())
    recognizer = BundledFaceRecognizer()
    own = recognizer.detect(rgb_HWC)[2]
    identity = Identity(own.embedding[None], recognizer.identity, ("three",))
    masked, report = build_masks(Dataset((item,)), BundledPartSegmenter(), TierWeights(), tmp_path / "masks")
    assert "hair_values" not in report["items"][0]

    def kept() -> np.ndarray:
        search = PersonSearch(recognizer, (identity,), BundledPersonSegmenter(), MatchRules())
        keep_person(masked, search, PersonOutput(tmp_path / "person"))
        return load_mask(tmp_path / "person/three.png")

    with_HW = kept()
    record = records_in(tmp_path / "masks", STEP)["three"]
    with open_ledger(tmp_path / "masks", STEP) as ledger:  # as an earlier version left it
        details = {key: value for key, value in record.details.items() if key != "hair_values"}
        ledger.finish("three", record.fingerprint, masked.items[0].mask_path, details)
    without_HW = kept()
    gained_HW = with_HW != without_HW
    assert 1.0 < gained_HW.sum() / own.side_px**2 < 2.0
    assert set(np.unique(with_HW[gained_HW])) == {80}
    assert not without_HW[gained_HW].any()
    # Nothing came in near the other two.
    assert np.flatnonzero(gained_HW.any(axis=0)).min() > own.box[0]

    again, report = build_masks(Dataset((item,)), BundledPartSegmenter(), TierWeights(), tmp_path / "masks")
    assert report["items"][0]["state"] == "unchanged"
    assert "hair_values" not in report["items"][0]
    assert known_hair_values(again.items, STEP) == {"three": (80, 0)}
    np.testing.assert_array_equal(kept(), with_HW)
