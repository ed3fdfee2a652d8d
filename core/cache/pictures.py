"""The pictures behind a cache entry: its photograph, or the frames of its clip, as they were encoded.

`_HWC` pixel grid; latent frames are counted from 0.
"""

from __future__ import annotations

import numpy as np

from ..errors import ImageError
from ..images import load_image
from ..resample import fit_image
from ..video.reader import VIDEO_SUFFIXES, read_frames
from .entries import CacheEntry
from .entry_file import CLIP_FRAMES, read_metadata
from .store import LatentCache


def select_frames(entry: CacheEntry, most: int) -> tuple[int, ...]:
    """Indices of the latent frames to show: in one-frame training the target, else `most` of them, evenly spread."""
    if entry.target_index is not None:
        return (sorted((entry.target_index, *entry.control_indices)).index(entry.target_index),)
    frames = entry.latent_shape[1]
    return tuple(dict.fromkeys(np.linspace(0, frames - 1, min(most, frames)).round().astype(int).tolist()))


def source_pictures(cache: LatentCache, entry: CacheEntry, frames: tuple[int, ...]) -> list[np.ndarray]:
    """For each of these latent frames (ascending) a picture that it stands for, uint8 RGB of the bucket's size.

    ImageError when the source is gone, cannot be read or is not known; CacheError when the entry's file is damaged.
    """
    path = entry.source_path
    if path.suffix.lower() not in VIDEO_SUFFIXES:
        return [_fit(entry, load_image(path)[0])] * len(frames)
    numbers = _clip_frames(cache, entry)
    stride = (len(numbers) - 1) // max(1, entry.latent_shape[1] - 1)
    # Of the frames that a latent frame joins, the middle one.
    wanted = [numbers[0 if frame == 0 else 1 + (frame - 1) * stride + stride // 2] for frame in frames]
    found = {number: _fit(entry, rgb_HWC) for number, rgb_HWC in read_frames(path, wanted)}
    return [found[number] for number in wanted]


def _fit(entry: CacheEntry, rgb_HWC: np.ndarray) -> np.ndarray:
    cut = entry.rectangle
    if cut is not None:
        cut.check_inside(entry.name, (rgb_HWC.shape[1], rgb_HWC.shape[0]))
        rgb_HWC = cut.cut(rgb_HWC)
    return fit_image(rgb_HWC, entry.bucket)


def _clip_frames(cache: LatentCache, entry: CacheEntry) -> list[int]:
    stored = read_metadata(cache.directory / entry.file).get(CLIP_FRAMES, "")
    if not stored:
        raise ImageError(f"The frames of {entry.name} are not on record in its file.")
    return [int(number) for number in stored.split(",")]
