"""A small cache in memory: a real photograph's latents by the demo encoder, with masks as each test wants them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from maskloss.core.cache.entries import CacheEntry, Source, StaleEntry
from maskloss.core.cache.store import LatentCache
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.recipe import TrainingRecipe
from skimage import data

from .runs import LORA, OPTIMIZER, PLAIN, SIZE, Watcher, half


@dataclass(frozen=True, eq=False)
class MemoryCache(LatentCache):
    """A cache whose tensors lie in memory."""

    latents: dict[str, torch.Tensor] = field(default_factory=dict)
    masks: dict[str, torch.Tensor] = field(default_factory=dict)
    stale_entries: tuple[StaleEntry, ...] = ()  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(f"{entry.name}{entry.caption}{entry.repeats}".encode())
            digest.update(self.latents[entry.name].numpy().tobytes())
            if entry.name in self.masks:
                digest.update(self.masks[entry.name].numpy().tobytes())
        return digest.hexdigest()

    def latent(self, entry: CacheEntry) -> torch.Tensor:
        return self.latents[entry.name].clone()

    def weights(self, entry: CacheEntry) -> torch.Tensor | None:
        return self.masks[entry.name].clone() if entry.name in self.masks else None

    def text(self, entry: CacheEntry) -> dict[str, torch.Tensor]:
        return DemoTextEncoder().encode(entry.caption)

    def missing_captions(self) -> tuple[str, ...]:
        return ()

    def caption_text(self, caption: str, entry: CacheEntry | None = None) -> dict[str, torch.Tensor]:
        return DemoTextEncoder().encode(caption)

    def has_text(self, caption: str, entry: CacheEntry | None = None) -> bool:
        return True

    def empty_text(self) -> dict[str, torch.Tensor]:
        return DemoTextEncoder().encode("")


Item = tuple[str, tuple[int, int], torch.Tensor | None]
MakeCache = Callable[..., MemoryCache]


def photograph_latent(index: int, size: tuple[int, int]) -> torch.Tensor:
    """(16,1,h,w) raw latent of a crop of the astronaut; `size` is (w, h) in latent cells."""
    width, height = size[0] * 8, size[1] * 8
    left, top = 150 + 16 * index, 20 + 8 * index
    rgb = torch.from_numpy(data.astronaut()[top : top + height, left : left + width].copy()).float() / 255
    return DemoLatentEncoder().encode(rgb[None, None])[0]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors here are tiny: threads only get in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_cache(tmp_path: Path) -> MakeCache:
    """make_cache([(name, (w, h), mask (1,1,h,w) or None), …], repeats=1, caption=…, stale=…)"""
    return cache_maker(tmp_path)


def cache_maker(directory: Path) -> MakeCache:
    def make(
        items: list[Item],
        repeats: int = 1,
        caption: str = "a photo of {name}",
        stale: tuple[StaleEntry, ...] = (),
        text_encoder: str | None = "demo",
    ) -> MemoryCache:
        entries: list[CacheEntry] = []
        latents: dict[str, torch.Tensor] = {}
        masks: dict[str, torch.Tensor] = {}
        for index, (name, size, mask) in enumerate(items):
            latents[name] = photograph_latent(index, size)
            if mask is not None:
                masks[name] = mask
            entries.append(
                CacheEntry(
                    name=name,
                    file=f"{name}.safetensors",
                    origin=MaskOrigin.NONE if mask is None else MaskOrigin.FILE,
                    coverage=1.0 if mask is None else float(mask.mean()),
                    repeats=repeats,
                    image_size=(size[0] * 8, size[1] * 8),
                    bucket=(size[0] * 8, size[1] * 8),
                    latent_shape=tuple(latents[name].shape),
                    caption=caption.format(name=name),
                    latent_fingerprint=name,
                    mask_fingerprint=name,
                    file_bytes=1,
                    sources=(Source("image", directory / f"{name.split('@')[0]}.jpg", 1, 1, "0"),),
                )
            )
        return MemoryCache(
            directory=directory,
            architecture="demo",
            encoder="demo",
            entries=tuple(entries),
            text_encoder=text_encoder,
            stale_entries=stale,
            latents=latents,
            masks=masks,
        )

    return make


@pytest.fixture
def cache(make_cache):
    tiers = half()
    tiers[..., 0] = 0.5
    return make_cache([("a", SIZE, half()), ("b", SIZE, tiers), ("c", SIZE, None), ("d", SIZE, tiers)])


@pytest.fixture
def run(cache, tmp_path):
    """run(output name, steps=…, …): a training on `cache`; keyword arguments go to the configuration they belong to."""

    def start(
        name: str = "lora",
        settings: MaskLossSettings | None = PLAIN,
        lora: LoraConfig = LORA,
        optimizer: OptimizerConfig = OPTIMIZER,
        watcher: Watcher | None = None,
        on=cache,
        denoiser: DemoDenoiser | None = None,
        validation_cache=None,
        initial_lora=None,
        sampling=None,
        clock=time.monotonic,
        **config: object,
    ) -> TrainResult:
        chosen = TrainConfig(**{"steps": 4, "gradient_checkpointing": False, **config})
        recipe = TrainingRecipe(on, settings, lora, optimizer, chosen, validation_cache, initial_lora)
        return train(denoiser or DemoDenoiser(), recipe, tmp_path / name, watcher, sampling, clock)

    return start
