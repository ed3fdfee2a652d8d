"""A small dataset of real picture files, and encoders that count what they are asked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from PIL import Image

SETTINGS = LoadSettings(resolution=(64, 64))


class CountingEncoder(DemoLatentEncoder):
    """The demo autoencoder; `batches` are the batch sizes it was given."""

    def __init__(self, identity: str = DemoLatentEncoder.identity) -> None:
        self.identity = identity
        self.batches: list[int] = []

    def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(rgb_BTHWC))
        return super().encode(rgb_BTHWC)


class CountingTextEncoder(DemoTextEncoder):
    """The demo text encoder; `captions` are those it was given."""

    def __init__(self, identity: str = DemoTextEncoder.identity) -> None:
        self.identity = identity
        self.captions: list[str] = []

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        self.captions.append(caption)
        return super().encode(caption)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def text_encoder() -> CountingTextEncoder:
    return CountingTextEncoder()


@pytest.fixture
def item(tmp_path: Path) -> Callable[..., DatasetItem]:
    """item("a", seed=0, size=(40, 40), mask=None | array, alpha=None | array, caption="", settings=…)."""

    def make(
        name: str,
        seed: int = 0,
        size: tuple[int, int] = (40, 40),
        mask: np.ndarray | None = None,
        alpha: np.ndarray | None = None,
        caption: str | None = None,
        settings: LoadSettings = SETTINGS,
    ) -> DatasetItem:
        media, mask_path = tmp_path / f"set/{name}.png", tmp_path / f"masks/{name}.png"
        media.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        if alpha is not None:
            pixels = np.dstack([pixels, alpha])
        Image.fromarray(pixels).save(media)
        caption_path = None
        if caption is not None:
            caption_path = media.with_suffix(".txt")
            caption_path.write_text(caption, encoding="utf-8")
        if mask is not None:
            mask_path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(mask_path)
        return DatasetItem(
            name, media, settings, mask_path if mask is not None else None, caption or "", caption_path=caption_path
        )

    return make


@pytest.fixture
def dataset(item: Callable[..., DatasetItem]) -> Dataset:
    """`a` with a mask whose left half is 128, `b` without one, and `wide` of another bucket with an all-black one."""
    half = np.zeros((40, 40), np.uint8)
    half[:, :20] = 128
    return Dataset(
        (
            item("a", 0, mask=half, caption="ohwx person"),
            item("sub/b", 1, caption="ohwx person"),
            item("wide", 2, (80, 40), mask=np.zeros((40, 80), np.uint8)),
        )
    )
