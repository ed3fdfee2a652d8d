"""What inpainting models are given beside noise and text: the picture with grey in a hole, and where the hole is.

The hole is where the mask has any weight, all of a picture without a mask. Laid out as (64+C,1,h,w): for each cell the
hole's 8x8 pixels row by row, 1 where something is to be made, then the latent. WAN VACE, which fills holes in videos,
is given (64+2C,T,h,w): after the hole the latent of what is around it, and that of what is in it, grey elsewhere.
Shapes: `_BTHWC` pixels in [0, 1], `_BCThw` the latent grid.
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
# What a sample is given besides its caption's embeddings, by name: (1,64+C,1,h,w), and (1,64+2C,T,h,w).
INPAINT = "inpaint_conditioning"
VACE = "vace_conditioning"
# What a cache is named after whose holes are for WAN VACE; its VAE is WAN's.
VACE_ARCHITECTURE = "vace"
_GREY = 0.5


def inpaint_conditioning(
    rgb_BTHWC: torch.Tensor, weights: Sequence[np.ndarray | None], names: Sequence[str], encoder: LatentEncoder
) -> torch.Tensor:
    """(B,64+C,1,h,w) float32 of photographs and their weights (1,H,W) in [0, 1]. CacheError as `encode_pixels`."""
    hole_B1HW = _holes(rgb_BTHWC, weights)
    shown_BTHWC = torch.where(hole_B1HW[..., None] > 0, _GREY, rgb_BTHWC)
    latents_BCThw = encode_pixels(shown_BTHWC, names, encoder)
    return torch.cat([F.pixel_unshuffle(hole_B1HW, STRIDE_PX)[:, :, None], latents_BCThw], dim=1)


def vace_conditioning(
    rgb_BTHWC: torch.Tensor, weights: Sequence[np.ndarray | None], names: Sequence[str], encoder: LatentEncoder
) -> torch.Tensor:
    """(B,64+2C,T',h,w) float32 of photographs or clips and their weights (T,H,W) in [0, 1], bit for bit as ComfyUI's
    WanVaceToVideo makes it of the same video and the hole as its mask. CacheError as `encode_pixels`."""
    hole_BTHW = _holes(rgb_BTHWC, weights)
    hole_BTHW1, centred_BTHWC = hole_BTHW[..., None], rgb_BTHWC - _GREY
    around_BCThw = encode_pixels(centred_BTHWC * (1 - hole_BTHW1) + _GREY, names, encoder)
    inside_BCThw = encode_pixels(centred_BTHWC * hole_BTHW1 + _GREY, names, encoder)
    cells_BCThw = F.pixel_unshuffle(hole_BTHW[:, :, None], STRIDE_PX).transpose(1, 2)
    # Of the frames that a latent frame stands for, the hole of one in the middle.
    cells_BCThw = F.interpolate(cells_BCThw, size=around_BCThw.shape[2:], mode="nearest-exact")
    return torch.cat([cells_BCThw, around_BCThw, inside_BCThw], dim=1)


def holes_of(image_channels: int, channels: int) -> str:
    """By which name so many channels beside a latent of `channels` are given, `INPAINT` or `VACE`; empty for others."""
    return {HOLE_CHANNELS + channels: INPAINT, HOLE_CHANNELS + 2 * channels: VACE}.get(image_channels, "")


def split_conditioning(image_BCThw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The hole (B,1,8h,8w), 1 where something is to be made, and the latents (B,C,1,h,w)."""
    return F.pixel_shuffle(image_BCThw[:, :HOLE_CHANNELS, 0], STRIDE_PX), image_BCThw[:, HOLE_CHANNELS:]


def _holes(rgb_BTHWC: torch.Tensor, weights: Sequence[np.ndarray | None]) -> torch.Tensor:
    """(B,T,H,W): 1 where something is to be made."""
    size = rgb_BTHWC.shape[1:4]
    return torch.stack([torch.ones(size) if each is None else torch.from_numpy(each > 0).float() for each in weights])
