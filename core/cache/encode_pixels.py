"""Pixels through the encoder of a cache, and what is checked of the latents that come back.

Shapes: `_THWC`, `_BTHWC` pixels; `_BCThw` the latent grid. Sizes are (width, height).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..errors import CacheError
from .encoders import LatentEncoder, frame_groups
from .entry_file import is_finite


def stack_pixels(clips: Sequence[np.ndarray]) -> torch.Tensor:
    """Clips of uint8 pixels (THWC) as (B,T,H,W,3) float32 in [0, 1]."""
    return torch.from_numpy(np.stack(clips)).float() / 255


def encode_pixels(rgb_BTHWC: torch.Tensor, names: Sequence[str], encoder: LatentEncoder) -> torch.Tensor:
    """(B,C,T',h,w) float32 on the CPU. CacheError where the encoder gives another grid than it says, or values that are
    not finite, which names the picture by `names`."""
    with torch.no_grad():
        latents_BCThw = encoder.encode(rgb_BTHWC).float().cpu()
    frames, height, width = rgb_BTHWC.shape[1:4]
    stride = encoder.spatial_stride
    grid = (len(frame_groups(encoder, frames)), height // stride, width // stride)
    if latents_BCThw.ndim != 5 or len(latents_BCThw) != len(names) or tuple(latents_BCThw.shape[2:]) != grid:
        raise CacheError(
            f"The encoder {encoder.identity} gave latents of shape {tuple(latents_BCThw.shape)} for {len(names)} "
            f"{f'clips of {frames} frames' if frames > 1 else 'pictures'} of {width}x{height}; (B, C, {grid[0]}, "
            f"{grid[1]}, {grid[2]}) was expected: its stride is not {stride}"
            f"{f', or in time not {encoder.temporal_stride}' if frames > 1 else ''}."
        )
    for name, latent in zip(names, latents_BCThw, strict=True):
        if not is_finite(latent):
            raise CacheError(f"The encoder gave values that are not finite for {name}; try it in float32.")
    return latents_BCThw
