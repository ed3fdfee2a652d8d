"""The region of a picture that somebody points at, by a point on it or a box around it, as a person segmenter proposes
it. `_HW`, `_HWC` pixel grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from ..errors import PersonError, SettingError
from ..resample import shrink_then_enlarge
from .faces import Face
from .instances import PersonSegmenter

Point = tuple[float, float]
Box = tuple[float, float, float, float]
Finder = Callable[[np.ndarray], Sequence[Face]]

MOST_POINTS = 32
_LEAST_BOX_PX = 4
_CUT_PX = 512  # what a box is around is cut out at no more than so many pixels
_AROUND = 0.4  # of the box's sides, how much beside it is looked at
_ROUNDS = 4


@dataclass(frozen=True)
class Pointing:
    """What somebody points at, in pixels: points (x, y) `on` it and `off` it, and a `box` (left, top, right, bottom)
    around it. There is a point on it or a box."""

    on: tuple[Point, ...] = ()
    off: tuple[Point, ...] = ()
    box: Box | None = None

    def __post_init__(self) -> None:
        if not (self.on or self.box) or len(self.on) + len(self.off) > MOST_POINTS:
            raise SettingError(f"Point at something: a point on it or a box around it, {MOST_POINTS} points at most.")
        if self.box is not None:
            left, top, right, bottom = self.box
            if not (right - left >= _LEAST_BOX_PX and bottom - top >= _LEAST_BOX_PX):
                raise SettingError(f"The box is smaller than {_LEAST_BOX_PX} px; drag it around what is meant.")

    def check_inside(self, size: tuple[int, int]) -> None:
        """SettingError unless all of it lies in a picture of `size` (width, height)."""
        corners = () if self.box is None else (self.box[:2], self.box[2:])
        for x, y in (*self.on, *self.off, *corners):
            if not (0 <= x <= size[0] and 0 <= y <= size[1]):
                raise SettingError(
                    f"({x:.0f}, {y:.0f}) does not lie in the picture, which is {size[0]} x {size[1]} pixels."
                )

    def scaled(self, scale: float) -> Pointing:
        """The same in a picture `scale` times as large."""
        return Pointing(
            tuple((x * scale, y * scale) for x, y in self.on),
            tuple((x * scale, y * scale) for x, y in self.off),
            None if self.box is None else _scale(self.box, scale),
        )


@runtime_checkable
class RegionSegmenter(Protocol):
    """A segmenter that can be pointed at anything."""

    def propose(self, rgb_HWC: np.ndarray, pointing: Pointing) -> np.ndarray:
        """region_HW bool of an upright uint8 RGB picture, of its size."""
        ...


def propose_region(rgb_HWC: np.ndarray, segmenter: PersonSegmenter, find: Finder, pointing: Pointing) -> np.ndarray:
    """region_HW bool of what is pointed at in an upright uint8 RGB picture.

    A segmenter that can be pointed at anything proposes it. Any other one gives the people at the points, without those
    at the points beside; what a box is around is then told from what is beside the box by colour alone. `find` finds
    faces for a segmenter that goes by them. PersonError where nobody is found, SettingError where the pointing does not
    lie in the picture or the box leaves nothing beside it, and what the segmenter raises.
    """
    size = (rgb_HWC.shape[1], rgb_HWC.shape[0])
    pointing.check_inside(size)
    if isinstance(segmenter, RegionSegmenter):
        return segmenter.propose(rgb_HWC, pointing)
    if pointing.box is not None:
        return _cut_out(rgb_HWC, pointing.box, pointing)
    masks = segmenter.segment(rgb_HWC, find(rgb_HWC) if getattr(segmenter, "needs_faces", True) else [])
    people = [mask.probability_HW > 0.5 for mask in masks]
    meant = [mask_HW for mask_HW in people if _holds(mask_HW, pointing.on) and not _holds(mask_HW, pointing.off)]
    if not meant:
        raise PersonError(
            f"{segmenter.name} finds {len(people)} people, and nobody at that point; drag a box around what is meant."
        )
    return np.logical_or.reduce(meant)


def _holds(mask_HW: np.ndarray, points: Sequence[Point]) -> bool:
    height, width = mask_HW.shape
    return any(mask_HW[min(height - 1, int(y)), min(width - 1, int(x))] for x, y in points)


def _cut_out(rgb_HWC: np.ndarray, box: Box, pointing: Pointing) -> np.ndarray:
    """What is in the box and has other colours than what is around it (GrabCut)."""
    height, width = rgb_HWC.shape[:2]
    across, down = _AROUND * (box[2] - box[0]), _AROUND * (box[3] - box[1])
    left, top = max(0, int(box[0] - across)), max(0, int(box[1] - down))
    right, bottom = min(width, int(np.ceil(box[2] + across))), min(height, int(np.ceil(box[3] + down)))
    scale = min(1.0, _CUT_PX / max(right - left, bottom - top))
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    small_HWC = shrink_then_enlarge(rgb_HWC[top:bottom, left:right], size)
    labels_HW = np.full(small_HWC.shape[:2], cv2.GC_BGD, np.uint8)
    inner = [round((edge - start) * scale) for edge, start in zip(box, (left, top) * 2, strict=True)]
    labels_HW[inner[1] : inner[3], inner[0] : inner[2]] = cv2.GC_PR_FGD
    for points, label in ((pointing.on, cv2.GC_FGD), (pointing.off, cv2.GC_BGD)):
        for x, y in points:
            cv2.circle(labels_HW, (round((x - left) * scale), round((y - top) * scale)), 3, int(label), -1)
    if (labels_HW != cv2.GC_BGD).all() or (labels_HW == cv2.GC_BGD).all():
        raise SettingError("The box leaves nothing of the picture beside it, or holds nothing; drag a smaller one.")
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(small_HWC), labels_HW, (0, 0, 1, 1), *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found_HW = np.isin(labels_HW, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    region_HW = np.zeros((height, width), np.bool_)
    region_HW[top:bottom, left:right] = shrink_then_enlarge(found_HW, (right - left, bottom - top)) > 0.5
    return region_HW


def _scale(box: Box, scale: float) -> Box:
    return box[0] * scale, box[1] * scale, box[2] * scale, box[3] * scale
