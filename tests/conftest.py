"""Photographs for tests, read from what is installed; nothing third-party lies in this repository."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.bundled.install import state
from PIL import Image


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("models") is not None:
        missing = [entry.file.name for entry in state() if not entry.present]
        if missing:
            pytest.skip(f"bundled models are not installed ({', '.join(missing)}); run `maskloss models --install`")


@pytest.fixture(scope="session")
def sample_photograph() -> Callable[[int], np.ndarray]:
    """`sample_photograph(n)`: face-api's demo photograph n (1 to 6), uint8 RGB HWC; use with the marker `models`."""
    paths = {entry.file.name: entry.path for entry in state()}

    def load(number: int) -> np.ndarray:
        return _read(paths[f"photographs/sample{number}.jpg"])

    return load


@pytest.fixture(scope="session")
def t1_photograph() -> np.ndarray:
    """insightface's group photograph of six people, uint8 RGB HWC."""
    spec = importlib.util.find_spec("insightface")
    path = Path(spec.origin).parent / "data" / "images" / "t1.jpg" if spec and spec.origin else None
    if path is None or not path.is_file():
        pytest.skip("the installed insightface has no data/images/t1.jpg")
    return _read(path)


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
