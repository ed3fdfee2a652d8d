"""Clips of a video with their weights, frame by frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import (
    checked_size,
    expected_origin,
    frames_at_target_rate,
    load_clip,
    load_still,
    read_weights,
)
from maskloss.core.errors import ImageError, MaskMissingError
from maskloss.core.video.clips import Clip, VideoSettings
from maskloss.core.video.masks import MaskVideoWriter

Draw = Callable[..., Path]
STEP = 10


@pytest.fixture
def item(tmp_path: Path, make_video: Draw) -> DatasetItem:
    """20 frames of 80x48 at 32 per second, of grey number · 10."""
    frames = [np.full((48, 80, 3), number * STEP, np.uint8) for number in range(20)]
    path = make_video(tmp_path / "set/a.mp4", frames, fps=32)
    return DatasetItem("a", path, LoadSettings((64, 48)))


def moving_masks(path: Path) -> Path:
    """Frame n of 20 has the first 2n columns of 40 at full weight; half the video's size."""
    with MaskVideoWriter(path, (40, 24), [number / 32 for number in range(20)]) as writer:
        for number in range(20):
            mask_HW = np.zeros((24, 40), np.uint8)
            mask_HW[:, : 2 * number] = 255
            writer.add(mask_HW)
    return path


def test_frames_are_fitted_and_each_has_its_own_weights(tmp_path: Path, item: DatasetItem) -> None:
    item = replace(item, mask_path=moving_masks(tmp_path / "a.mkv"))
    clip = Clip(2, (4, 6, 8, 8, 10))
    loaded = load_clip(item, clip, (64, 48))
    assert loaded.rgb_THWC.shape == (5, 48, 64, 3)
    assert loaded.rgb_THWC.dtype == np.uint8
    assert loaded.weights_THW is not None
    assert loaded.weights_THW.dtype == np.float32
    assert loaded.origin is MaskOrigin.FILE
    for frame_HWC, weights_HW, number in zip(loaded.rgb_THWC, loaded.weights_THW, clip.frames, strict=True):
        assert abs(float(frame_HWC.mean()) - number * STEP) < 4
        # 4n of 80 columns have weight, the centre crop takes 8 from the left.
        expected_HW = np.zeros((48, 64), np.float32)
        expected_HW[:, : 4 * number - 8] = 1
        assert (weights_HW == expected_HW).all()


def test_one_picture_weighs_every_frame(tmp_path: Path, item: DatasetItem, mask: Draw) -> None:
    item = replace(item, mask_path=mask("masks/a.png", (80, 48), 128))
    loaded = load_clip(item, Clip(0, (0, 1, 2, 3, 4)), (80, 48))
    assert loaded.weights_THW is not None
    assert np.unique(loaded.weights_THW[:, :, :40]) == pytest.approx([128 / 255])
    assert not loaded.weights_THW[:, :, 40:].any()


def test_without_a_mask_there_are_no_weights_unless_one_is_required(item: DatasetItem) -> None:
    loaded = load_clip(item, Clip(0, (0,)), (64, 48))
    assert loaded.weights_THW is None
    assert loaded.origin is MaskOrigin.NONE
    required = replace(item, settings=replace(item.settings, require_mask=True))
    with pytest.raises(MaskMissingError, match="require_mask=true but no mask found for a"):
        load_clip(required, Clip(0, (0,)), (64, 48))


def test_alpha_of_a_video_is_not_looked_for(tmp_path: Path, item: DatasetItem) -> None:
    item = replace(item, settings=replace(item.settings, alpha_mask=True))
    assert expected_origin(item) is MaskOrigin.NONE
    masked = replace(item, mask_path=moving_masks(tmp_path / "a.mkv"))
    assert expected_origin(masked) is MaskOrigin.FILE


def test_every_mask_of_a_folder_is_measured(tmp_path: Path, item: DatasetItem, mask: Draw) -> None:
    for number in range(20):
        mask(f"masks/a/{number}.png", (80, 48) if number != 7 else (48, 48))
    item = replace(item, mask_path=tmp_path / "masks/a")
    assert checked_size(item) == (80, 48)  # from the first one
    with pytest.raises(ImageError, match="the mask of a is 48x48 and its image 80x48"):
        list(read_weights(item, [6, 7]))


def test_weights_at_the_videos_own_size(tmp_path: Path, item: DatasetItem) -> None:
    item = replace(item, mask_path=moving_masks(tmp_path / "a.mkv"))
    assert [(number, weights_HW.shape, round(float(weights_HW.mean()), 2)) for number, weights_HW in
            read_weights(item, [0, 10])] == [(0, (48, 80), 0.0), (10, (48, 80), 0.5)]  # fmt: skip


def test_a_still_of_a_video_is_its_middle_frame(tmp_path: Path, item: DatasetItem) -> None:
    still = load_still(replace(item, mask_path=moving_masks(tmp_path / "a.mkv")))
    assert abs(float(still.rgb_HWC.mean()) - 10 * STEP) < 4
    assert still.size == (80, 48)
    assert float(still.full_weights_HW.mean()) == pytest.approx(0.5)
    assert load_still(item).weights_HW is None


def test_frames_at_the_target_rate(item: DatasetItem) -> None:
    assert frames_at_target_rate(item) == tuple(range(0, 20, 2))
    own = replace(item, settings=replace(item.settings, video=VideoSettings(target_fps=0)))
    assert frames_at_target_rate(own) == tuple(range(20))
