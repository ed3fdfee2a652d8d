"""The encoder protocols of the cache: pixels to latents, and captions to embeddings.

Shapes: `_BTHWC` pixels, `_BCThw` the latent grid. An image model has T = 1 on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch


class LatentEncoder(Protocol):
    """Turns pictures into raw latents (as the autoencoder gave them, before any normalisation by the model)."""

    @property
    def identity(self) -> str:
        """Differs whenever the same picture would give other latents (weights' hash, version, precision)."""
        ...

    @property
    def architecture(self) -> str:
        """Short name that ends the cache's file names, such as "wan", "qi", "demo"."""
        ...

    @property
    def spatial_stride(self) -> int:
        """Pixels per latent cell along each side."""
        ...

    @property
    def temporal_stride(self) -> int:
        """Frames per latent frame after the first, which stands alone; 0: a model of pictures, which has no clips."""
        ...

    def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
        """(B,T,H,W,3) float32 in [0, 1] to (B,C,T',h,w) float32 on the CPU, raw, T' = 1 + (T − 1) / stride. Frames are
        separate pictures to a model of pictures (T' = T)."""
        ...


@runtime_checkable
class GroupingEncoder(LatentEncoder, Protocol):
    """What a video model's encoder has beside whose latent frames need not all stand for `temporal_stride` frames."""

    def frame_groups(self, frames: int) -> tuple[int, ...]:
        """How many frames each latent frame of a clip of `frames` stands for; what is left of them is cut off."""
        ...


def frame_groups(encoder: LatentEncoder, frames: int) -> tuple[int, ...]:
    """How many frames each latent frame of a clip stands for. Their sum is less where the encoder does not keep all."""
    if isinstance(encoder, GroupingEncoder):
        return encoder.frame_groups(frames)
    stride = max(1, encoder.temporal_stride)
    return (1, *[stride] * ((frames - 1) // stride))


class TextEncoder(Protocol):
    """Turns a caption into named tensors."""

    @property
    def identity(self) -> str:
        """Differs whenever the same caption would give other embeddings."""
        ...

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        """Named tensors on the CPU, without a batch axis of their own meaning beyond what the model expects."""
        ...


@runtime_checkable
class PictureTextEncoder(TextEncoder, Protocol):
    """What a text encoder has beside, which can be shown control images with a caption."""

    @property
    def shown_identity(self) -> str:
        """Its identity where it is shown pictures, which ends in `SHOWN`; empty where it cannot be."""
        ...

    def encode_shown(self, caption: str, pictures: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """As `encode`, of a caption beside pictures (H,W,3), uint8."""
        ...


# How the identity ends of a text encoder that was shown pictures.
SHOWN = "-shown"
