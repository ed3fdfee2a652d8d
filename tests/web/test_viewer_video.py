"""Frames of a video are corrected in a real Chromium on a real ComfyUI server, in both renderers: see
browser/viewer_video.js.

Needs what test_browser.py needs. What was painted there, and what was carried on from it, is what training reads here.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.store import open_cache
from maskloss.core.corrections.frames import frames_in
from maskloss.core.corrections.store import CorrectionStore
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_clip
from maskloss.core.resample import to_latent_grid
from maskloss.core.video.clips import Clip
from maskloss.core.video.masks import MaskVideoWriter

from tests import moving_clip
from tests.on_server.comfy_server import Server, node

from .conftest import Browse

pytestmark = pytest.mark.comfy

FRAMES, PAINTED, SIZE = 16, 3, (160, 96)
PROMPT = {
    "1": node("MaskLossDemoModels"),
    "2": node(
        "MaskLossLoadDataset", directory="clips", mask_directory="clip_masks", resolution_width=SIZE[0],
        resolution_height=SIZE[1], frame_extraction="slide", frame_stride=1, target_fps=0.0,
    ),
    "3": node("MaskLossPreviewDataset", dataset=["2", 0]),
    "4": node("MaskLossCacheLatents", dataset=["2", 0], vae=["1", 1], cache_directory="clip_cache"),
    "5": node("MaskLossCacheText", cache=["4", 0], clip=["1", 2]),
    "6": node("MaskLossTrainLora", model=["1", 0], cache=["5", 0], steps=2, output_name="loras/clips",
              on_existing="new"),
}  # fmt: skip


@pytest.fixture
def editor(server: Server, tmp_path: Path, make_video: Callable[..., Path]) -> Server:
    """Two clips of one square that moves, whose masks have nothing of it."""
    for name in ("one", "two"):
        make_video(tmp_path / f"input/clips/{name}.mp4", moving_clip.frames(FRAMES), options={"crf": "16"})
        times = [number / 16 for number in range(FRAMES)]
        with MaskVideoWriter(tmp_path / f"input/clip_masks/{name}.mkv", SIZE, times) as writer:
            for _ in range(FRAMES):
                writer.add(np.zeros(SIZE[::-1], np.uint8))
    return server


@pytest.mark.parametrize(("vue", "palette"), [(False, "light"), (True, "dark")], ids=["litegraph", "nodes2"])
def test_what_is_painted_on_a_frame_and_carried_on_is_trained_on(
    editor: Server, browse: Browse, tmp_path: Path, vue: bool, palette: str
) -> None:
    editor.run(PROMPT)
    before = _files(tmp_path)
    left, top = moving_clip.place(PAINTED)
    browse(
        "viewer_video.js", editor, vue=vue, palette=palette, prompt=PROMPT, frames=FRAMES, painted=PAINTED, size=SIZE,
        square=[left, top, moving_clip.SQUARE, moving_clip.SQUARE],
    )  # fmt: skip
    editor.run(PROMPT)
    after = _files(tmp_path)
    assert {name[:3] for name, content in after.items() if before[name] != content} == {"one"}
    video, mask = tmp_path / "input/clips/one.mp4", tmp_path / "input/clip_masks/one.mkv"
    correction = CorrectionStore(tmp_path / "output/maskloss/corrections").find(video)
    assert correction is not None
    assert frames_in(correction) == (PAINTED, 11)
    item = DatasetItem("one", video, LoadSettings(SIZE), mask, correction_path=correction)
    cache = open_cache(tmp_path / "output/clip_cache")
    for frame, painted in ((2, False), (PAINTED, True), (9, True), (12, False)):
        entry = next(each for each in cache.entries if each.name == f"one_{frame:05}-001")
        weights_1Thw = cache.weights(entry)
        assert weights_1Thw is not None
        wanted_THW = load_clip(item, Clip(frame, (frame,)), entry.bucket).weights_THW
        assert wanted_THW is not None
        wanted_hw = to_latent_grid(torch.from_numpy(wanted_THW)[None, None], tuple(weights_1Thw.shape[-2:]))[0, 0, 0]
        assert torch.allclose(weights_1Thw[0, 0], wanted_hw, atol=1e-3)
        assert (float(wanted_hw.max()) > 0.9) == painted
        if painted:
            # The weights lie on the square, which has moved.
            square_HW = torch.from_numpy(moving_clip.square(frame)).float()
            square_hw = to_latent_grid(square_HW[None, None, None], tuple(wanted_hw.shape))[0, 0, 0]
            assert float((wanted_hw * square_hw).sum() / wanted_hw.sum()) > 0.6


def _files(folder: Path) -> dict[str, bytes]:
    paths = (folder / "output/clip_cache").glob("*_demo.safetensors")
    return {path.name: path.read_bytes() for path in sorted(paths)}
