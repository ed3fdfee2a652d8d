"""A directory of cached latents, and its index.

Shapes: latents (C,T,h,w), weights (1,T,h,w), both on the latent grid. Sizes are (width, height).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ..data.items import MaskOrigin


@dataclass(frozen=True)
class Source:
    """A file that an entry was made from, as it was then. `role` is image, mask, caption or control."""

    role: str
    path: Path
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class CacheEntry:
    """One cached picture. `latent_shape` is (C,T,h,w); `coverage` is the mean weight on the latent grid (1 without)."""

    name: str
    file: str
    origin: MaskOrigin
    coverage: float
    repeats: int
    image_size: tuple[int, int]
    bucket: tuple[int, int]
    latent_shape: tuple[int, int, int, int]
    caption: str
    latent_fingerprint: str
    mask_fingerprint: str
    sources: tuple[Source, ...] = ()
    target_index: int | None = None
    control_indices: tuple[int, ...] = ()

    @property
    def source_path(self) -> Path:
        """The photograph that the latent was made from."""
        return next(source.path for source in self.sources if source.role == "image")


@dataclass(frozen=True)
class StaleEntry:
    """An entry whose source changed after it was cached."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class LatentCache:
    """An open cache. Tensors are read, and checked, when they are asked for."""

    directory: Path
    architecture: str
    encoder: str
    entries: tuple[CacheEntry, ...]
    text_encoder: str | None = None
    stale: tuple[StaleEntry, ...] = ()
    moved: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 over everything that training on this cache depends on."""
        raise NotImplementedError

    def latent(self, entry: CacheEntry) -> torch.Tensor:
        """(C,T,h,w) float32, raw."""
        raise NotImplementedError

    def weights(self, entry: CacheEntry) -> torch.Tensor | None:
        """(1,T,h,w) float32 in [0, 1], or None where the picture had no mask."""
        raise NotImplementedError

    def text(self, entry: CacheEntry) -> dict[str, torch.Tensor]:
        """The embeddings of the entry's caption."""
        raise NotImplementedError

    def empty_text(self) -> dict[str, torch.Tensor]:
        """The embeddings of the empty caption."""
        raise NotImplementedError

    def origin_counts(self) -> dict[MaskOrigin, int]:
        """How many entries have their weights from where."""
        raise NotImplementedError


def open_cache(directory: Path) -> LatentCache:
    """Open a cache by its index and one stat per source file."""
    raise NotImplementedError
