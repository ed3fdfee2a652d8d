"""The weights of a video's frames with what was painted on them, wherever its masks come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.override import NO_REVISION
from maskloss.core.corrections.store import CorrectionStore, Patch
from maskloss.core.dataset.corrected import has_other_base, painted_over, with_corrections
from maskloss.core.dataset.crop import Rectangle
from maskloss.core.dataset.frame_weights import read_frame_weights
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import check_required, load_clip, load_frame, read_weights
from maskloss.core.errors import MaskMissingError
from maskloss.core.video.clips import Clip
from maskloss.core.video.masks import MaskVideoWriter
from maskloss.core.warning import collect_warnings

from tests.moving_clip import SIZE, SQUARE, frames, pattern, place

Make = Callable[..., Path]
FRAMES = 9


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections")


@pytest.fixture
def item(tmp_path: Path, make_video: Make) -> DatasetItem:
    """Nine frames, of which each has 128 everywhere in its mask."""
    path = make_video(tmp_path / "clips/a.mkv", frames(FRAMES), codec="ffv1", pix_fmt="yuv444p")
    with MaskVideoWriter(tmp_path / "masks/a.mkv", SIZE, [number / 16 for number in range(FRAMES)]) as writer:
        for _ in range(FRAMES):
            writer.add(np.full(SIZE[::-1], 128, np.uint8))
    return DatasetItem("a", path, LoadSettings(SIZE), tmp_path / "masks/a.mkv")


def paint(store: CorrectionStore, item: DatasetItem, frame: int, value: int = 255) -> DatasetItem:
    """On the square of a frame."""
    patch = Patch(*place(frame), np.full((SQUARE, SQUARE), value, np.uint8), np.ones((SQUARE, SQUARE), bool))
    store.paint_frame(item.media_path, frame, SIZE, patch, painted_over(item), NO_REVISION)
    return with_corrections(Dataset((item,)), store)[0].items[0]


def weights(item: DatasetItem, *wanted: int) -> dict[int, np.ndarray]:
    return dict(read_frame_weights(item, wanted))


def test_frames_before_are_as_they_were_and_those_behind_have_the_paint_where_the_square_is(
    store: CorrectionStore, item: DatasetItem
) -> None:
    corrected = paint(store, item, 4)
    read = weights(corrected, 2, 4, 6, 8)
    assert set(np.unique(read[2])) == {np.float32(128 / 255)}
    left, top = place(4)
    assert (read[4][top : top + SQUARE, left : left + SQUARE] == 1).all()
    assert (read[4] == 1).sum() == SQUARE * SQUARE
    for frame in (6, 8):
        left, top = place(frame)
        inside_HW = read[frame][top + 2 : top + SQUARE - 2, left + 2 : left + SQUARE - 2]
        assert (inside_HW == 1).all()
        assert (read[frame] == 1).sum() == pytest.approx(SQUARE * SQUARE, rel=0.1)
    assert [number for number, _ in read_frame_weights(corrected, [3, 3, 5])] == [3, 5]


def test_training_reads_them_and_a_crop_shares_them(store: CorrectionStore, item: DatasetItem) -> None:
    corrected = paint(store, item, 4)
    clip = Clip(2, (2, 4, 6))
    loaded, plain = load_clip(corrected, clip, SIZE), load_clip(item, clip, SIZE)
    assert np.array_equal(loaded.rgb_THWC, plain.rgb_THWC)
    assert loaded.weights_THW is not None
    assert loaded.origin is MaskOrigin.FILE
    for place_in_clip, number in enumerate(clip.frames):
        assert np.array_equal(loaded.weights_THW[place_in_clip], weights(corrected, number)[number])
    left, top = place(4)
    ((_, cut_HW),) = read_weights(corrected, [4], None, Rectangle(left, top, SQUARE, SQUARE))
    assert (cut_HW == 1).all()
    assert np.array_equal(load_frame(corrected, 6).weights_HW, weights(corrected, 6)[6])


def test_without_a_mask_all_but_the_paint_counts_fully_and_a_required_mask_is_missing_all_the_same(
    store: CorrectionStore, item: DatasetItem
) -> None:
    bare = replace(item, mask_path=None)
    assert weights(bare, 4) == {}
    corrected = paint(store, bare, 4, value=0)
    read = weights(corrected, 0, 4)
    assert (read[0].min(), read[4].min(), read[4].mean()) == (1, 0, pytest.approx(1 - SQUARE**2 / (160 * 96)))
    required = replace(corrected, settings=replace(corrected.settings, require_mask=True))
    with pytest.raises(MaskMissingError):
        dict(read_weights(required, [4]))
    with pytest.raises(MaskMissingError):
        check_required(required)


def test_a_smaller_mask_is_brought_to_the_video_where_it_is_corrected(
    store: CorrectionStore, item: DatasetItem, mask: Callable[..., Path]
) -> None:
    small = replace(item, mask_path=mask("masks/small.png", value=np.full((48, 80), 128, np.uint8)))
    corrected = paint(store, small, 4)
    read = weights(corrected, 3, 4)
    assert (read[3].shape, read[4].shape) == ((48, 80), (96, 160))
    assert set(np.unique(read[4])) == {np.float32(128 / 255), np.float32(1)}


def test_they_outlive_another_mask_which_is_told_and_not_another_video(
    store: CorrectionStore, item: DatasetItem, make_video: Make, mask: Callable[..., Path]
) -> None:
    corrected = paint(store, item, 4)
    assert not has_other_base(corrected)
    rebuilt = replace(item, mask_path=mask("masks/other.png", value=np.full(SIZE[::-1], 80, np.uint8)))
    dataset, messages = with_corrections(Dataset((rebuilt,)), store)
    assert has_other_base(dataset.items[0])
    assert set(np.unique(weights(dataset.items[0], 4)[4])) == {np.float32(80 / 255), np.float32(1)}
    assert "In videos: a 1 frames painted, 4 carried on." in messages
    make_video(item.media_path, [pattern(SIZE, 3)] * FRAMES, codec="ffv1", pix_fmt="yuv444p")
    with collect_warnings() as warnings:
        dataset, _ = with_corrections(Dataset((item,)), store)
    assert dataset.items[0].correction_path is None
    assert "others than those whose masks were corrected" in warnings.texts[0]
