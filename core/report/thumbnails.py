"""The pictures of a report's page, as files beside it."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from ..draw.levels import WeightLevels
from ..draw.sheet import shrink
from ..files import write_bytes
from .look_through import LookThrough
from .page import Figure

LONGEST_PX = 640
_JPEG_QUALITY = 88
_OURS = re.compile(r"[0-9a-f]{20}\.jpg")


class Thumbnails:
    """The report's `images` folder. Files are named by their content, so that an older page keeps its own pictures.

    `tiers` and `cells` are the levels of the masks and of the weights on the latent grid that the page shows; `look`
    takes the photographs themselves, to be looked through.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._written: set[str] = set()
        self.tiers, self.cells = WeightLevels(), WeightLevels()
        self.look = LookThrough(directory.parent)

    def add(self, title: str, rgb_HWC: np.ndarray, text: str = "") -> Figure:
        """Write a picture, uint8 RGB, of at most 640 px a side."""
        stream = io.BytesIO()
        Image.fromarray(shrink(rgb_HWC, LONGEST_PX)).save(stream, "JPEG", quality=_JPEG_QUALITY)
        content = stream.getvalue()
        name = f"{hashlib.sha256(content).hexdigest()[:20]}.jpg"
        path = self._directory / name
        if name not in self._written and not path.exists():
            write_bytes(path, content)
        self._written.add(name)
        height, width = shrink(rgb_HWC, LONGEST_PX).shape[:2]
        return Figure(title, f"{self._directory.name}/{name}", (width, height), text)

    def remove_others(self) -> None:
        """Delete the pictures of earlier reports; call it when the new page is in place."""
        for path in self._directory.glob("*.jpg"):
            if _OURS.fullmatch(path.name) and path.name not in self._written:
                path.unlink(missing_ok=True)
        self.look.remove_others()
