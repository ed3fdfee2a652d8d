"""What part of a photograph, or of each clip of a video, an item is: rectangles in pixels of the upright picture.

Nothing is written for a crop: whoever reads the item cuts it out. Sizes are (width, height).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..errors import ImageError, InternalError
from ..video.clips import Clip

Size = tuple[int, int]

_WRITTEN = re.compile(r"(\d+),(\d+),(\d+)x(\d+)")


class CropKind(str, Enum):
    """What a crop shows of the person."""

    BUST = "bust"
    FACE = "face"


@dataclass(frozen=True)
class Rectangle:
    """A part of a picture, in whole pixels from its upper left corner."""

    left: int
    top: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if min(self.left, self.top) < 0 or min(self.size) < 1:
            raise InternalError(f"the rectangle {self} is none")

    @property
    def right(self) -> int:
        """The column behind its last one."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The row below its last one."""
        return self.top + self.height

    @property
    def size(self) -> Size:
        """(width, height)."""
        return self.width, self.height

    def cut(self, array: np.ndarray) -> np.ndarray:
        """The part of an array (H, W, …) that holds the whole picture, as an array of its own."""
        return np.ascontiguousarray(array[self.top : self.bottom, self.left : self.right])

    def union(self, other: Rectangle) -> Rectangle:
        """The smallest rectangle that holds both."""
        left, top = min(self.left, other.left), min(self.top, other.top)
        return Rectangle(left, top, max(self.right, other.right) - left, max(self.bottom, other.bottom) - top)

    def check_inside(self, name: str, size: Size) -> None:
        """ImageError where the picture, of this (width, height), does not hold it whole: it is no longer the same."""
        if self.right > size[0] or self.bottom > size[1]:
            raise ImageError(
                f"The crop {name} is {self.width}x{self.height} px at {self.left},{self.top}, but its picture has only "
                f"{size[0]}x{size[1]}: it changed since. Run Crops (Dataset) again."
            )

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width}x{self.height}"

    @classmethod
    def parse(cls, text: str) -> Rectangle | None:
        """What `str` wrote; None for anything else."""
        matched = _WRITTEN.fullmatch(text)
        if matched is None or not (int(matched[3]) and int(matched[4])):
            return None
        return cls(int(matched[1]), int(matched[2]), int(matched[3]), int(matched[4]))


@dataclass(frozen=True)
class Crop:
    """`rectangle` is a photograph's. `by_clip` are a video's, by (position, length) of its clips; a clip without one
    does not belong to the item. With neither the files show the crop and nothing else, so that nothing is cut."""

    kind: CropKind
    rectangle: Rectangle | None = None
    by_clip: tuple[tuple[tuple[int, int], Rectangle], ...] = ()

    @property
    def is_cut(self) -> bool:
        """Whether the files show more than the crop."""
        return self.rectangle is not None or bool(self.by_clip)

    def of(self, clip: Clip | None) -> Rectangle | None:
        """The rectangle of a clip, or with None the photograph's; None where there is none."""
        return self.rectangle if clip is None else dict(self.by_clip).get((clip.position, len(clip.frames)))
