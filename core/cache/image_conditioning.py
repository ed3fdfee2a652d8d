"""Conditioning of image-to-video models: latents of the given frames, grey elsewhere, and a mask of which are given.

Laid out as musubi-tuner caches it for WAN: (4+C,T,h,w), four mask channels, 1 where a frame is given, before the
latent's. Shapes: `_BTHWC` pixels in [0, 1], `_BCThw`, `_CThw` the latent grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .entries import CacheEntry

MASK_CHANNELS = 4
# What a sample is given besides its caption's embeddings, by name: (1,4+C,T,h,w), and (T,) frame numbers.
IMAGE = "image_conditioning"
FRAMES = "frame_indices"
# What a cache is named after whose clips are shown with their last frame, too; its VAE is WAN's.
FIRST_AND_LAST = "flf2v"
# ComfyUI's WanImageToVideo and musubi-tuner show the model this where a frame is to be made.
_GREY = 0.5


def keep_first_frame(rgb_BTHWC: torch.Tensor, last: bool = False) -> torch.Tensor:
    """The clips with grey in place of all frames but the first, and with `last` the last."""
    shown = grey_like(rgb_BTHWC)
    for frame in (0, -1) if last else (0,):
        shown[:, frame] = rgb_BTHWC[:, frame]
    return shown


def grey_like(rgb_BTHWC: torch.Tensor) -> torch.Tensor:
    """Grey clips of the same shape."""
    return torch.full_like(rgb_BTHWC, _GREY)


def prepend_mask(latents_BCThw: torch.Tensor, given: Sequence[bool], last: bool = False) -> torch.Tensor:
    """(B,4+C,T,h,w): the latents after a mask that says which latent frames are `given`, and with `last` the last of
    the frames that the last one stands for, each in a channel of its own."""
    batch, _, frames, height, width = latents_BCThw.shape
    mask_11T11 = torch.tensor(given, dtype=latents_BCThw.dtype).reshape(1, 1, frames, 1, 1)
    mask_BKThw = mask_11T11.repeat(batch, MASK_CHANNELS, 1, height, width)
    if last:
        mask_BKThw[:, -1, -1] = 1
    return torch.cat([mask_BKThw, latents_BCThw], dim=1)


def frame_numbers(entry: CacheEntry) -> tuple[int, ...]:
    """The frame numbers of a one-frame entry, ascending as its latent's frames are; empty for any other."""
    return () if entry.target_index is None else tuple(sorted((entry.target_index, *entry.control_indices)))
