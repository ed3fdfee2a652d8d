"""One picture's weights, the fractions of its tiers, and people without a face."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.images import save_image
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.masks.tiered import count_faceless, tiered_mask
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.report.previews import masks_sheet
from maskloss.core.warning import collect_warnings

from .quarter_people import HalfFaceless, dataset_of

Draw = Callable[..., Path]


def test_a_person_without_a_face_is_said(tmp_path: Path, photograph: Draw) -> None:
    bright, dark = photograph("set/bright.png", (40, 30)), photograph("set/dark.png", (40, 30), seed=1)
    for path, value in ((bright, 200), (dark, 20)):
        pixels_HWC = np.full((30, 40, 3), value, np.uint8)
        save_image(path, pixels_HWC)
    with collect_warnings(lambda _: None) as warnings:
        built, report = build_masks(dataset_of(bright, dark), HalfFaceless(), TierWeights(), tmp_path / "out")
    assert [row["faceless"] for row in report["items"]] == [0, 1]
    (text,) = warnings.texts
    assert "dark" in text
    assert "bright" not in text
    assert report["messages"] == [text]
    again = build_masks(dataset_of(bright, dark), HalfFaceless(), TierWeights(), tmp_path / "out")[1]
    assert [row["faceless"] for row in again["items"]] == [0, 1], "a re-run says it too"
    assert again["messages"] == [text]
    with_note_HWC = masks_sheet(built, report, 2, 4)
    quiet = {**report, "items": [{**row, "faceless": 0} for row in report["items"]]}
    assert with_note_HWC.shape != masks_sheet(built, quiet, 2, 4).shape, "the sheet has a line for it"


def parts_of(label_HW: np.ndarray) -> PartMap:
    return PartMap(label_HW, SCHEMES["maskloss_4"], approximate=True)


def test_every_pixel_weighs_what_its_tier_says() -> None:
    label_HW = np.zeros((10, 20), np.uint8)
    for part, columns in (("Face", slice(0, 5)), ("Hair", slice(5, 7)), ("Body", slice(7, 10))):
        label_HW[:, columns] = SCHEMES["maskloss_4"].class_id(part)
    mask = tiered_mask(parts_of(label_HW), TierWeights(face=250, hair=100, body=50, background=10))
    assert mask.weights_HW.dtype == np.float32
    for columns, value in ((slice(0, 5), 250), (slice(5, 7), 100), (slice(7, 10), 50), (slice(10, 20), 10)):
        assert (mask.weights_HW[:, columns] == np.float32(value / 255)).all()
    assert mask.fractions == {"face": 0.25, "hair": 0.1, "body": 0.15}
    assert mask.coverage == pytest.approx((250 * 5 + 100 * 2 + 50 * 3 + 10 * 10) / 20 / 255)
    assert mask.approximate
    assert mask.faceless == 0


def test_regions_without_a_face_are_counted_from_one_percent_on() -> None:
    scheme = SCHEMES["maskloss_4"]
    label_HW = np.zeros((20, 100), np.uint8)
    label_HW[:10, :10] = scheme.class_id("Body")
    label_HW[0, 0] = scheme.class_id("Face")
    label_HW[:10, 20:30] = scheme.class_id("Hair")
    label_HW[10:20, 30:40] = scheme.class_id("Body")  # touches the hair at a corner: one region
    label_HW[0, 60:79] = scheme.class_id("Body")  # 19 of 2000 pixels
    assert count_faceless(parts_of(label_HW)) == 1
    label_HW[0, 60:80] = scheme.class_id("Body")
    assert count_faceless(parts_of(label_HW)) == 2
