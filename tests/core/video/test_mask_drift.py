from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskloss.core.mask_meaning import MaskMeaning, read_stored
from maskloss.core.video.mask_drift import USUAL_TIERS, find_drift
from maskloss.core.video.masks import read_frame_masks
from maskloss.core.video.reader import probe, read_stored_frames

from .test_colour import write_frames


def tiered(*values: int) -> np.ndarray:
    """A rectangle of each value."""
    return np.repeat(np.repeat(np.array(values, np.uint8)[None], 48, axis=0), 32, axis=1)


@pytest.mark.parametrize("values", [(0, 79, 127, 254), (0, 74, 130, 255), (1, 81, 129, 253), (3, 80, 128, 251)])
def test_levels_near_the_tiers_are_brought_back(values: tuple[int, ...]) -> None:
    drift = find_drift([tiered(*values)], USUAL_TIERS)
    assert np.array_equal(drift.undo(tiered(*values)), tiered(*USUAL_TIERS))
    assert "are read as the tiers 0, 80, 128, 255" in drift.note
    assert drift.key


def test_tiers_that_are_exact_and_soft_masks_stay() -> None:
    for mask_HW in (tiered(*USUAL_TIERS), tiered(0, 255), np.arange(256, dtype=np.uint8)[None].repeat(64, axis=0)):
        drift = find_drift([mask_HW], USUAL_TIERS)
        assert (drift.key, drift.note) == ("", "")
        assert np.array_equal(drift.undo(mask_HW), mask_HW)
    blurred = cv2.GaussianBlur(tiered(*[0] * 20, *[254] * 20), (401, 1), 0)
    moved = find_drift([blurred], USUAL_TIERS).undo(blurred)
    assert moved.max() == 255
    assert np.abs(moved.astype(int) - blurred).max() <= 4, "the soft edge stays soft"


@pytest.mark.parametrize("values", [(0, 60, 255), (0, 104, 255), (0, 80, 88, 255), (0, 246, 255)])
def test_levels_that_could_be_anything_are_left_and_said(values: tuple[int, ...]) -> None:
    drift = find_drift([tiered(*values)], USUAL_TIERS)
    assert np.array_equal(drift.undo(tiered(*values)), tiered(*values))
    assert "are no tiers of this dataset" in drift.note


def test_the_datasets_own_tiers_count() -> None:
    assert np.array_equal(find_drift([tiered(0, 199, 254)], (0, 200, 255)).undo(tiered(199)), tiered(200))
    assert find_drift([tiered(0, 199, 254)], (0, 195, 204, 255)).unknown == (199,)


@given(st.permutations([0, 80, 128, 255]), st.lists(st.integers(-6, 6), min_size=4, max_size=4))
def test_any_small_drift_is_undone(tiers: list[int], offsets: list[int]) -> None:
    values = [min(255, max(0, tier + offset)) for tier, offset in zip(tiers, offsets, strict=True)]
    assert np.array_equal(find_drift([tiered(*values)], USUAL_TIERS).undo(tiered(*values)), tiered(*tiers))


@pytest.mark.parametrize(("codec", "pix_fmt"), [("mjpeg", "yuvj420p"), ("libx264", "yuv420p"), ("libx264", "gray")])
def test_lossy_mask_videos_weigh_what_their_tiers_weigh(
    tmp_path: Path, codec: str, pix_fmt: str, make_video: Callable[..., Path]
) -> None:
    expected = tiered(*USUAL_TIERS)
    if pix_fmt == "gray":
        path = write_frames(tmp_path / "mask.mkv", codec, pix_fmt, expected)
    else:
        path = make_video(
            tmp_path / "mask.mkv", [np.repeat(expected[..., None], 3, 2)] * 3, codec=codec, pix_fmt=pix_fmt
        )
    ((_, read),) = read_frame_masks(path, probe(path), [1])
    middle = read.mask_HW[24, 16::32]
    assert middle.tolist() == list(USUAL_TIERS)


@pytest.mark.parametrize("meaning", ["alpha", "colour"])
def test_the_weights_of_alpha_and_colour_are_brought_back_as_those_of_brightness(tmp_path: Path, meaning: str) -> None:
    levels_HW, black_HW = tiered(*USUAL_TIERS), tiered(0, 0, 0, 0)
    if meaning == "alpha":
        white_HW = np.full_like(levels_HW, 255)
        pixels = np.dstack([white_HW, white_HW, white_HW, levels_HW])
        path = write_frames(tmp_path / "mask.webm", "libvpx-vp9", "yuva420p", pixels)
    else:
        path = write_frames(tmp_path / "mask.mkv", "libx264", "yuv444p", np.dstack([levels_HW, black_HW, black_HW]))
    (stored,) = [stored for _, stored in read_stored_frames(path, [1])]
    as_stored = read_stored(stored, MaskMeaning.AUTO, "it").mask_HW[24, 16::32].tolist()
    assert as_stored != list(USUAL_TIERS), "this clip has a drift to undo"
    ((_, read),) = read_frame_masks(path, probe(path), [1])
    assert read.meaning.value == meaning
    assert read.mask_HW[24, 16::32].tolist() == list(USUAL_TIERS)
    assert "are read as the tiers 0, 80, 128, 255" in read.note
    assert read.key.endswith(">255")
