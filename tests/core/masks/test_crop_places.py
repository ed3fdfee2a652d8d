"""Where the crops of a photograph and of a film's clips lie, and why there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_clip, load_still
from maskloss.core.errors import DatasetError
from maskloss.core.masks.crop_dataset import CropRules
from maskloss.core.masks.exchange import hand_out
from maskloss.core.people.decision import FaceScore, Outcome, PersonDecision
from maskloss.core.report.crops_sheet import crops_sheet
from maskloss.core.report.previews import dataset_sheet
from maskloss.core.video.clips import Clip
from maskloss.core.video.masks import MaskVideoWriter

from .crop_items import FACE, FACES, FRAMES, SETTINGS, SIZE, cropped, holds, tiers


@pytest.mark.parametrize("size", [(300, 240), (130, 104), (341, 273)])
def test_tiers_of_another_size_are_told_apart(item: Callable[..., DatasetItem], size: tuple[int, int]) -> None:
    rows = (np.arange(size[1]) * SIZE[1] / size[1]).astype(int)
    columns = (np.arange(size[0]) * SIZE[0] / size[0]).astype(int)
    dataset, report = cropped(item("odd", tiers()[rows][:, columns]))
    assert report["items"][0]["state"] == "cropped", report["items"]
    rectangle, exact = dataset.items[1].rectangle(), cropped(item())[0].items[1].rectangle()
    assert rectangle is not None
    assert exact is not None
    for side in ("left", "top", "right", "bottom"):
        assert abs(getattr(rectangle, side) - getattr(exact, side)) <= 6


@pytest.mark.parametrize(
    ("settings", "rules", "reason"),
    [
        (SETTINGS, replace(FACES, min_face_px=31), "its face is 30 px, less than min_face_px 31"),
        (
            replace(SETTINGS, bucket_no_upscale=True, bucket_step=256, resolution=(256, 256)),
            FACES,
            "it is 62x70 px, smaller than its bucket 256x256, and bucket_no_upscale is on",
        ),
    ],
)
def test_small_ones_are_left_out(
    item: Callable[..., DatasetItem], settings: LoadSettings, rules: CropRules, reason: str
) -> None:
    dataset, _ = cropped(item(settings=settings), rules=rules)
    (left,) = dataset.left_out
    found = left.reason if rules.min_face_px else f"it is 62x70{left.reason[left.reason.index(' px,') :]}"
    assert found == reason


def test_the_face_that_keep_person_chose_stands_in_for_tiers(item: Callable[..., DatasetItem]) -> None:
    faces = (FaceScore(0, (10.0, 10, 20, 20), 0.1, False), FaceScore(1, (90.5, 40, 120, 76), 0.8, True))
    decision = PersonDecision(faces, Outcome.MATCH, 1, "alike")
    dataset, report = cropped(item(mask_HW=(tiers() > 0) * np.uint8(255), person=decision))
    face = dataset.items[1]
    rectangle = face.rectangle()
    assert rectangle is not None
    assert face.person is not None
    assert rectangle.union(FACE) == rectangle
    assert face.person.faces[1].box == (90.5 - rectangle.left, 40 - rectangle.top, *face.person.faces[1].box[2:])
    assert any("where Keep Person found it" in text for text in report["messages"])


def test_each_clip_has_one_steady_rectangle_that_holds_the_person_in_every_frame(
    clips: DatasetItem, tmp_path: Path
) -> None:
    dataset, report = cropped(clips, rules=CropRules(whole=0, face=1))
    (face,) = dataset.items
    assert face.crop is not None
    (first, one), (second, other) = face.crop.by_clip
    assert (first, second) == ((0, 5), (5, 5))
    assert holds(one, FRAMES[:5])
    assert holds(other, FRAMES[5:])
    assert not holds(one, FRAMES[5:])
    assert [row["clip"] for row in report["items"]] == ["00000-005", "00005-005"]
    assert load_still(face).rgb_HWC.shape[:2] == one.size[::-1]
    assert dataset_sheet(dataset, 1).ndim == crops_sheet(Dataset((clips,)), report, 1, 1).ndim == 3


def test_all_frames_of_a_clip_are_cut_alike(clips: DatasetItem) -> None:
    dataset, _ = cropped(clips, rules=CropRules(whole=0, face=1))
    (face,) = dataset.items
    clip = Clip(5, (5, 6, 7, 8, 9))
    rectangle = face.rectangle(clip)
    assert rectangle is not None
    loaded = load_clip(face, clip, rectangle.size)
    assert loaded.weights_THW is not None
    for place, number in enumerate(clip.frames):
        expected_HW = rectangle.cut(tiers(FRAMES[number])).astype(np.float32) / np.float32(255)
        np.testing.assert_array_equal(loaded.weights_THW[place], expected_HW)
        assert np.unique(loaded.rgb_THWC[place]).tolist() == [20 * number]
    handed = list(hand_out(Dataset((clips,)), 0, 1))
    assert len(handed[0].pictures) == 10
    with pytest.raises(DatasetError, match=r"connect Dataset Items before Crops \(Dataset\)"):
        list(hand_out(dataset, 0, 1))


def test_a_clip_without_a_face_is_left_out_alone(clips: DatasetItem, tmp_path: Path) -> None:
    with MaskVideoWriter(tmp_path / "half.mkv", SIZE, [number / 16 for number in range(10)]) as writer:
        for number, face in enumerate(FRAMES):
            mask_HW = tiers(face)
            writer.add(mask_HW if number < 5 else np.where(mask_HW > 128, 0, mask_HW).astype(np.uint8))
    dataset, report = cropped(replace(clips, mask_path=tmp_path / "half.mkv"), rules=CropRules(whole=0, face=1))
    (face,) = dataset.items
    assert face.crop is not None
    assert [clip for clip, _ in face.crop.by_clip] == [(0, 5)]
    assert [(row["state"], row["reason"]) for row in report["items"]] == [
        ("cropped", ""), ("left out", "no face has weight in it"),
    ]  # fmt: skip
