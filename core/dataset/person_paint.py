"""What was painted by hand over one person's item of a photograph or video, over that person's own weights.

`_HW` pixel grid.
"""

from __future__ import annotations

import numpy as np

from ..corrections.override import read_correction
from .items import DatasetItem
from .video_corrections import open_corrections


class PersonPaint:
    """That of one person of `item`, the photograph or video; nothing where nobody painted. ImageError and VideoError
    where a correction cannot be read or does not fit."""

    def __init__(self, item: DatasetItem, person: str) -> None:
        path = item.by_hand(person).correction_path
        self._photograph = None if path is None or item.is_video else read_correction(path)
        self._video = None if path is None or not item.is_video else open_corrections(path, item.media_path)

    def apply(self, weights_HW: np.ndarray, frame: int = 0) -> np.ndarray:
        """The person's weights of the photograph, or of a frame of the video, float32 in [0, 1], as painted over."""
        correction = self._photograph if self._video is None else self._video.at(frame)
        return weights_HW if correction is None else correction.apply(weights_HW)
