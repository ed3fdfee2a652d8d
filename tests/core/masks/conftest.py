"""Scenes of people who are blocks of one colour, and people to be cropped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.video.clips import FrameExtraction, VideoSettings
from maskloss.core.video.masks import MaskVideoWriter
from PIL import Image

from .colour_people import BLUE, GREEN, RED
from .crop_items import FRAMES, SETTINGS, SIZE, tiers
from .one_person import Step, everyone


@pytest.fixture
def scene(tmp_path: Path) -> Callable[..., Path]:
    """scene("a", (x, colour), …): people 40 px wide whose faces are 30 px."""

    def draw(name: str, *people: tuple[int, tuple[int, int, int]], alpha: np.ndarray | None = None) -> Path:
        pixels = np.zeros((120, 200, 3), np.uint8)
        for x, colour in people:
            pixels[50:, x : x + 40] = np.array(colour) // 2
            pixels[20:50, x + 5 : x + 35] = colour
        if alpha is not None:
            pixels = np.dstack([pixels, alpha])
        path = tmp_path / f"set/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return draw


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


@pytest.fixture
def group(tmp_path: Path, scene: Callable[..., Path]) -> DatasetItem:
    path = scene("group", (20, GREEN), (80, RED), (140, BLUE))
    return DatasetItem("group", path, LoadSettings(), everyone(tmp_path, path))


@pytest.fixture
def item(photograph: Callable[..., Path], mask: Callable[..., Path]) -> Callable[..., DatasetItem]:
    def make(name: str = "anna", mask_HW: np.ndarray | None = None, **changes: object) -> DatasetItem:
        media = photograph(f"set/{name}.png", SIZE, seed=len(name))
        path = mask(f"masks/{name}.png", value=tiers() if mask_HW is None else mask_HW)
        made = DatasetItem(name, media, SETTINGS, path, "anna, smiling")
        return replace(made, **changes)  # pyright: ignore[reportArgumentType]

    return make


@pytest.fixture
def clips(tmp_path: Path, make_video: Callable[..., Path]) -> DatasetItem:
    """Ten frames in which the person walks from left to right, as two clips of five."""
    frames = [np.full((SIZE[1], SIZE[0], 3), 20 * number, np.uint8) for number in range(10)]
    path = make_video(tmp_path / "set/walk.mkv", frames, fps=16, codec="ffv1", pix_fmt="bgr0")
    with MaskVideoWriter(tmp_path / "walk.mkv", SIZE, [number / 16 for number in range(10)]) as writer:
        for face in FRAMES:
            writer.add(tiers(face))
    video = VideoSettings((5,), FrameExtraction.CHUNK)
    return DatasetItem("walk", path, replace(SETTINGS, video=video), tmp_path / "walk.mkv")
