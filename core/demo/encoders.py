"""Encoders that need no weights: a block DCT as autoencoder, hashed words as text model.

Shapes: `_BTHWC` pixels in [0, 1], `_BCThw` the latent grid (1 cell = 8×8 px, C = 16).
They exist so that the whole road runs anywhere; the pictures that come back are meant to be looked at.
"""

from __future__ import annotations

import hashlib
import math
import re

import torch

from ..errors import ImageError

BLOCK_PX = 8
LATENT_CHANNELS = 16
TEXT_WIDTH = 64
# Lowest frequencies first (JPEG's zigzag): ten of luma, three of each chroma, (row, column) in the 8×8 block.
_LUMA = ((0, 0), (0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0))
_CHROMA = ((0, 0), (0, 1), (1, 0))
# JPEG's colour transform (ITU-R BT.601, full range).
_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


class DemoLatentEncoder:
    """An 8×, 16-channel autoencoder: the lowest frequencies of each 8×8 block, orthonormal DCT, in YCbCr."""

    identity = "maskloss-demo-dct-1"
    architecture = "demo"
    spatial_stride = BLOCK_PX
    temporal_stride = 1

    def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
        """(B,T,H,W,3) float32 in [0, 1] to raw latents (B,16,T,H/8,W/8) float32 on the CPU.

        ImageError when a side is no multiple of 8 px.
        """
        batch, frames, height, width, channels = rgb_BTHWC.shape
        if channels != 3 or height % BLOCK_PX or width % BLOCK_PX:
            raise ImageError(
                f"The demo autoencoder takes RGB pictures whose sides are multiples of {BLOCK_PX} px; found "
                f"{width}x{height} with {channels} channels. Use a bucket_step that is a multiple of {BLOCK_PX}."
            )
        rgb = rgb_BTHWC.detach().to("cpu", torch.float32)
        ycc = (rgb - 0.5) @ torch.tensor(_YCBCR).T
        rows, columns = height // BLOCK_PX, width // BLOCK_PX
        blocks = ycc.reshape(batch, frames, rows, BLOCK_PX, columns, BLOCK_PX, 3)
        latents = torch.einsum("btiyjxc,kyxc->bktij", blocks, _basis())
        return latents.contiguous()

    def decode(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        """Raw latents (B,16,T,h,w) to (B,T,8h,8w,3) float32 in [0, 1]."""
        batch, _, frames, rows, columns = latents_BCThw.shape
        blocks = torch.einsum("bktij,kyxc->btiyjxc", latents_BCThw.detach().to("cpu", torch.float32), _basis())
        ycc = blocks.reshape(batch, frames, rows * BLOCK_PX, columns * BLOCK_PX, 3)
        rgb = ycc @ torch.linalg.inv(torch.tensor(_YCBCR)).T + 0.5
        return rgb.clamp(0.0, 1.0)


class DemoTextEncoder:
    """One fixed random vector for the beginning and one for each word."""

    identity = "maskloss-demo-words-1"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        """`tokens`: (1 + number of words, 64) float32, standard normal, the same for the same words everywhere."""
        words = re.findall(r"\w+", caption.lower())
        return {"tokens": torch.stack([_word_vector(word) for word in ("", *words)])}


def _basis() -> torch.Tensor:
    """(16,8,8,3): each latent channel's orthonormal 8×8 pattern in Y, Cb, Cr."""
    positions = torch.arange(BLOCK_PX, dtype=torch.float64) + 0.5
    frequencies = torch.arange(BLOCK_PX, dtype=torch.float64)
    dct = torch.cos(math.pi / BLOCK_PX * positions[None, :] * frequencies[:, None]) * math.sqrt(2 / BLOCK_PX)
    dct[0] = math.sqrt(1 / BLOCK_PX)
    basis = torch.zeros(LATENT_CHANNELS, BLOCK_PX, BLOCK_PX, 3, dtype=torch.float64)
    patterns = [(0, rc) for rc in _LUMA] + [(1, rc) for rc in _CHROMA] + [(2, rc) for rc in _CHROMA]
    for channel, (plane, (row, column)) in enumerate(patterns):
        basis[channel, :, :, plane] = dct[row][:, None] * dct[column][None, :]
    return basis.float()


def _word_vector(word: str) -> torch.Tensor:
    seed = int.from_bytes(hashlib.sha256(word.encode("utf-8")).digest()[:8], "big") >> 1
    return torch.randn(TEXT_WIDTH, generator=torch.Generator().manual_seed(seed))
