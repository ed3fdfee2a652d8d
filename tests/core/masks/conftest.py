"""Scenes of people who are blocks of one colour."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from PIL import Image

from .colour_people import BLUE, GREEN, RED
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
