"""What inpainting models are given beside noise and text: the picture with grey in a hole, and where the hole is.

The hole is where the mask has any weight, all of a picture without a mask. Laid out as (64+C,1,h,w): for each cell the
hole's 8x8 pixels row by row, 1 where something is to be made, then the latent. Shapes: `_BTHWC` pixels in [0, 1],
`_BCThw` the latent grid, T = 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from .encode_pixels import encode_pixels
from .encoders import LatentEncoder

STRIDE_PX = 8
HOLE_CHANNELS = STRIDE_PX * STRIDE_PX
# What a sample is given besides its caption's embeddings, by name: (1,64+C,1,h,w).
INPAINT = "inpaint_conditioning"
_GREY = 0.5


def inpaint_conditioning(
    rgb_BTHWC: torch.Tensor, weights: Sequence[np.ndarray | None], names: Sequence[str], encoder: LatentEncoder
) -> torch.Tensor:
    """(B,64+C,1,h,w) float32 of photographs and their weights (1,H,W) in [0, 1]. CacheError as `encode_pixels`."""
    hole_B1HW = torch.stack([_hole(each, tuple(rgb_BTHWC.shape[2:4])) for each in weights])
    shown_BTHWC = torch.where(hole_B1HW[..., None] > 0, _GREY, rgb_BTHWC)
    latents_BCThw = encode_pixels(shown_BTHWC, names, encoder)
    return torch.cat([F.pixel_unshuffle(hole_B1HW, STRIDE_PX)[:, :, None], latents_BCThw], dim=1)


def split_conditioning(image_BCThw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The hole (B,1,8h,8w), 1 where something is to be made, and the latents (B,C,1,h,w)."""
    return F.pixel_shuffle(image_BCThw[:, :HOLE_CHANNELS, 0], STRIDE_PX), image_BCThw[:, HOLE_CHANNELS:]


def _hole(weights_THW: np.ndarray | None, size: tuple[int, ...]) -> torch.Tensor:
    if weights_THW is None:
        return torch.ones(1, *size)
    return torch.from_numpy(weights_THW > 0).float()
