"""Small real picture files for the dataset's tests."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

Draw = Callable[..., Path]


@pytest.fixture
def photograph(tmp_path: Path) -> Draw:
    """photograph("set/a.jpg", (w, h), seed=0, alpha=None, orientation=1): noise, so that no two are alike."""

    def draw(
        relative: str,
        size: tuple[int, int] = (40, 30),
        seed: int = 0,
        alpha: np.ndarray | int | None = None,
        orientation: int = 1,
    ) -> Path:
        path = tmp_path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        if alpha is not None:
            pixels = np.dstack([pixels, np.broadcast_to(np.asarray(alpha, np.uint8), pixels.shape[:2])])
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(path, exif=exif)
        return path

    return draw


@pytest.fixture
def mask(tmp_path: Path) -> Draw:
    """mask("masks/a.png", (w, h), value=128): a left half of `value`, a right half of 0; or the array given."""

    def draw(
        relative: str, size: tuple[int, int] = (40, 30), value: int | np.ndarray = 255, orientation: int = 1
    ) -> Path:
        path = tmp_path / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(value, np.ndarray):
            pixels = value
        else:
            pixels = np.zeros((size[1], size[0]), np.uint8)
            pixels[:, : size[0] // 2] = value
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(path, exif=exif)
        return path

    return draw


@pytest.fixture
def video(tmp_path: Path, make_video: Callable[..., Path]) -> Draw:
    """video("set/a.mkv", frames): a lossless one of these frames_THWC, or of so many of noise."""

    def draw(relative: str, frames: int | Sequence[np.ndarray] = 5) -> Path:
        if isinstance(frames, int):
            random = np.random.default_rng(frames)
            frames = [random.integers(0, 256, (30, 40, 3), dtype=np.uint8) for _ in range(frames)]
        return make_video(tmp_path / relative, frames, codec="ffv1", pix_fmt="bgr0")

    return draw


@pytest.fixture
def write_mask(tmp_path: Path) -> Draw:
    """write_mask(an array or an image, "mask.png"): a mask file of whatever is given, with Pillow's options."""

    def write(content: np.ndarray | Image.Image, name: str = "mask.png", **options: object) -> Path:
        path = tmp_path / name
        if isinstance(content, np.ndarray) and content.dtype == np.uint16 and content.ndim == 3:
            order = [2, 1, 0, 3][: content.shape[2]]
            assert cv2.imwrite(str(path), content[..., order])
        else:
            image = Image.fromarray(content) if isinstance(content, np.ndarray) else content
            image.save(path, **options)
        return path

    return write
