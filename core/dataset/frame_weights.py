"""The weights of a video's frames: from its mask file, with what was corrected by hand over them.

`_HW` pixel grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..alpha import uint8_to_weights
from ..resample import fit_mask
from ..video.frame_index import VideoInfo
from ..video.masks import read_mask_frames
from ..video.reader import probe
from .items import DatasetItem
from .turned import check_mask_fits
from .video_corrections import open_corrections


def read_frame_weights(item: DatasetItem, frames: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame number, weights_HW float32 in [0, 1]) of a video's `frames`, ascending, each once: of the size of
    its mask's file, or of the video where they are corrected. Nothing where it has neither mask nor correction.

    VideoError and ImageError when a file cannot be read or does not fit.
    """
    info = probe(item.media_path)
    if item.correction_path is None:
        yield from _read_plain(item, info, frames)
        return
    corrections = open_corrections(item.correction_path, item.media_path)
    full_HW = np.ones(info.size[::-1], np.float32)
    plain = _read_plain(item, info, frames)
    if item.mask_path is None:
        plain = ((number, full_HW) for number in dict.fromkeys(frames))
    for number, weights_HW in plain:
        correction = corrections.at(number)
        if correction is not None:
            weights_HW = correction.apply(fit_mask(weights_HW, info.size, info.size))
        yield number, weights_HW


def _read_plain(item: DatasetItem, info: VideoInfo, frames: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    if item.mask_path is None:
        return
    for number, mask_HW in read_mask_frames(item.mask_path, info, frames, item.mask_meaning, item.tier_values):
        check_mask_fits(item, info.size, (mask_HW.shape[1], mask_HW.shape[0]))
        yield number, uint8_to_weights(mask_HW)
