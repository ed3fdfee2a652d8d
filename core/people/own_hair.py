"""Hair that a part segmenter found and a person's mask leaves out: where it hangs on that person's head alone, it is
theirs. `_HW` pixel grid, `_hw` a window of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..resample import shrink_then_enlarge
from .faces import Face
from .instances import PersonMask, mask_owners

# Around the middle of a face, in longer sides of its box: hair that comes so near hangs on that head. Another person's
# reach is larger, so that in doubt it is neither's.
HEAD_REACH = 0.8
OTHERS_REACH = 1.1
# Farther from the face than the longest hair falls, and more of it than a head grows, belongs to nobody known here.
MOST_FALL = 4.0
MOST_HAIR = 2.0
# A region that meets people outside the mask along more of its edge is on another head, whose face is unseen.
MOST_FOREIGN_EDGE = 0.15
_BORDER_PX = 2  # what lies just outside a piece of hair is looked at too

_Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class SeenHair:
    """What a part segmenter says of everyone in a picture, bool HW: what is hair, and what is face or body."""

    hair_HW: np.ndarray
    people_HW: np.ndarray

    def at(self, size: tuple[int, int]) -> SeenHair:
        """The same at another size (width, height)."""
        hair_HW, people_HW = (
            shrink_then_enlarge(each_HW.astype(np.float32), size) > 0.5 for each_HW in (self.hair_HW, self.people_HW)
        )
        return SeenHair(hair_HW, people_HW)


def add_own_hair(
    person_HW: np.ndarray,
    seen: SeenHair,
    faces: Sequence[Face],
    masks: Sequence[PersonMask],
    chosen: int,
) -> np.ndarray:
    """The mask with the hair that is connected to the head of face `chosen` and to no other head (bool).

    person_HW: this person's mask. faces, masks: everyone's of the picture; all of its size. It fails closed: hair in
    any other mask, hair that reaches another head, that touches a person who is in no mask, or that is far away or too
    much for one head stays out.
    """
    person_HW = person_HW.astype(bool)
    own = faces[chosen]
    height, width = person_HW.shape
    window, near_hw = _disc(own, MOST_FALL, (slice(0, height), slice(0, width)))
    if not person_HW.any() or not near_hw.any():
        return person_HW
    free_hw = seen.hair_HW[window] & near_hw
    count, label_hw = cv2.connectedComponents(free_hw.astype(np.uint8), connectivity=8)
    mine = _touches(label_hw, _disc(own, HEAD_REACH, window), count)
    for face in faces:
        if face.index != own.index and not _same(face, own):
            mine &= ~_touches(label_hw, _disc(face, OTHERS_REACH, window), count)
    own_hw = person_HW[window]
    added_hw = mine[np.asarray(label_hw, np.int32)] & ~own_hw
    for mask, owner in zip(masks, mask_owners(faces, masks), strict=True):
        if owner != chosen:
            added_hw &= mask.probability_HW[window] <= 0.5
    # What is left must hang on the person's own mask, piece by piece.
    with_hair_HW = person_HW.copy()
    with_hair_HW[window] |= _hanging_on(added_hw, own_hw, seen.people_HW[window], own)
    return with_hair_HW


def _hanging_on(added_hw: np.ndarray, person_hw: np.ndarray, people_hw: np.ndarray, own: Face) -> np.ndarray:
    kept_hw = np.zeros_like(added_hw)
    count, label_hw, stats, _ = cv2.connectedComponentsWithStats(added_hw.astype(np.uint8), connectivity=8)
    foreign_hw = people_hw & ~person_hw
    longer = _longer(own)
    for piece in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[piece])
        around = (slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1))
        piece_hw = (label_hw[around] == piece).astype(np.uint8)
        edge_hw = (cv2.dilate(piece_hw, np.ones((3, 3), np.uint8)) > 0) & (piece_hw == 0)
        met = np.count_nonzero(edge_hw & person_hw[around])
        foreign = np.count_nonzero(edge_hw & foreign_hw[around])
        if met and foreign <= MOST_FOREIGN_EDGE * np.count_nonzero(edge_hw) and area <= MOST_HAIR * longer**2:
            kept_hw[around] |= piece_hw > 0
    return kept_hw


def _longer(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return max(x1 - x0, y1 - y0)


def _disc(face: Face, reach: float, within: _Window) -> tuple[_Window, np.ndarray]:
    """Where in a window of the picture it is no farther from the middle of the face than `reach` longer sides of its
    box: a part of that window which holds this, with a border where there is room, and which of its pixels are so near
    (bool)."""
    x0, y0, x1, y1 = face.box
    longer, place, offsets = _longer(face), list[slice](), list[np.ndarray]()
    for middle, span in zip(((y0 + y1) / 2, (x0 + x1) / 2), within, strict=True):
        first = int(np.clip(np.floor(middle - reach * longer) - _BORDER_PX, span.start, span.stop))
        end = int(np.clip(np.ceil(middle + reach * longer) + 1 + _BORDER_PX, first, span.stop))
        place.append(slice(first - span.start, end - span.start))
        offsets.append((np.arange(first, end, dtype=np.float32) - np.float32(middle)) / np.float32(longer))
    return (place[0], place[1]), np.hypot(offsets[0][:, None], offsets[1][None, :]) <= reach


def _touches(label_hw: np.ndarray, disc: tuple[_Window, np.ndarray], count: int) -> np.ndarray:
    """Which components have a pixel in a disc (bool, by number; never the background)."""
    place, inside_hw = disc
    touched = np.bincount(label_hw[place][inside_hw], minlength=count) > 0
    touched[0] = False
    return touched


def _same(face: Face, own: Face) -> bool:
    """Whether it is the same face, found a second time."""
    (a0, b0, a1, b1), (x0, y0, x1, y1) = face.box, own.box
    shared = max(0.0, min(a1, x1) - max(a0, x0)) * max(0.0, min(b1, y1) - max(b0, y0))
    return shared >= 0.5 * min(face.area_px, own.area_px)
