"""Frames of a video that were corrected by hand, in the cache: their weights are what training reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.latents import cache_latents
from maskloss.core.corrections.store import CorrectionStore, Patch
from maskloss.core.dataset.corrected import painted_over, with_corrections
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.video.clips import FrameExtraction, VideoSettings
from PIL import Image

from tests import moving_clip
from tests.core.cache.test_latents_of_clips import JoiningEncoder, joining

__all__ = ["joining"]
Make = Callable[..., Path]


def test_a_corrected_frame_rewrites_the_weights_of_its_clips_alone(
    tmp_path: Path, make_video: Make, joining: JoiningEncoder
) -> None:
    clips = VideoSettings((5,), FrameExtraction.HEAD, target_fps=0)
    items: list[DatasetItem] = []
    for name in "ab":
        path = make_video(tmp_path / f"set/{name}.mkv", moving_clip.frames(12), codec="ffv1", pix_fmt="yuv444p")
        mask = tmp_path / f"masks/{name}.png"
        mask.parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros(moving_clip.SIZE[::-1], np.uint8)).save(mask)
        items.append(DatasetItem(name, path, LoadSettings(moving_clip.SIZE, video=clips), mask))
    dataset, store = Dataset(tuple(items)), CorrectionStore(tmp_path / "corrections")
    cache_latents(with_corrections(dataset, store)[0], joining, tmp_path / "cache")
    before = {path.name: path.read_bytes() for path in (tmp_path / "cache").glob("*.safetensors")}
    square_HW = moving_clip.square(2)
    left, top = moving_clip.place(2)
    patch = Patch(left, top, np.full((32, 32), 255, np.uint8), square_HW[top : top + 32, left : left + 32])
    store.paint_frame(items[0].media_path, 2, moving_clip.SIZE, patch, painted_over(items[0]), "")
    encoded = len(joining.shapes)
    corrected = with_corrections(dataset, store)[0]
    cache, report = cache_latents(corrected, joining, tmp_path / "cache")
    assert {row["name"]: row["state"] for row in report["items"]} == {
        "a_00000-005": "weights rewritten", "b_00000-005": "unchanged",
    }  # fmt: skip
    after = {path.name: path.read_bytes() for path in (tmp_path / "cache").glob("*.safetensors")}
    assert [name[0] for name in before if before[name] != after[name]] == ["a"]
    assert len(joining.shapes) == encoded, "no video is decoded and encoded for it"
    weights_1Thw = cache.weights(next(entry for entry in cache.entries if entry.name.startswith("a")))
    assert weights_1Thw is not None
    assert weights_1Thw.shape == (1, 2, 12, 20)
    assert weights_1Thw[0, 0].abs().max() == 0, "the frame before it is as it was"
    # Of four frames the last three have the square: frame 2 painted, 3 and 4 carried, each 8x8 pixels a cell.
    painted_THW = np.stack([np.zeros(square_HW.shape, bool), *(moving_clip.square(frame) for frame in (2, 3, 4))])
    wanted_hw = painted_THW.reshape(4, 12, 8, 20, 8).mean(axis=(0, 2, 4))
    assert np.abs(weights_1Thw[0, 1].numpy() - wanted_hw).max() < 0.12
    assert weights_1Thw[0, 1].max() == pytest.approx(0.75, abs=1e-3)
    again = cache_latents(corrected, joining, tmp_path / "cache")[1]
    assert {row["state"] for row in again["items"]} == {"unchanged"}
