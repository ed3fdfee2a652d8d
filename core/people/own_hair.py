"""Hair that a part segmenter found and a person's mask leaves out: where it hangs on that person's head alone, it is
theirs. `_HW` pixel grid."""

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
    if not person_HW.any():
        return person_HW
    distance_HW = _distance(own, person_HW.shape)
    free_HW = seen.hair_HW & (distance_HW <= MOST_FALL)
    count, label_HW = cv2.connectedComponents(free_HW.astype(np.uint8), connectivity=8)
    mine = _touches(label_HW, distance_HW <= HEAD_REACH, count)
    for face in faces:
        if face.index != own.index and not _same(face, own):
            mine &= ~_touches(label_HW, _distance(face, person_HW.shape) <= OTHERS_REACH, count)
    added_HW = mine[np.asarray(label_HW, np.int32)] & ~person_HW
    for mask, owner in zip(masks, mask_owners(faces, masks), strict=True):
        if owner != chosen:
            added_HW &= mask.probability_HW <= 0.5
    # What is left must hang on the person's own mask, piece by piece.
    return person_HW | _hanging_on(added_HW, person_HW, seen.people_HW, own)


def _hanging_on(added_HW: np.ndarray, person_HW: np.ndarray, people_HW: np.ndarray, own: Face) -> np.ndarray:
    kept_HW = np.zeros_like(added_HW)
    count, label_HW, stats, _ = cv2.connectedComponentsWithStats(added_HW.astype(np.uint8), connectivity=8)
    foreign_HW = people_HW & ~person_HW
    longer = _longer(own)
    for piece in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[piece])
        window = (slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1))
        inside_hw = (label_HW[window] == piece).astype(np.uint8)
        edge_hw = (cv2.dilate(inside_hw, np.ones((3, 3), np.uint8)) > 0) & (inside_hw == 0)
        met = np.count_nonzero(edge_hw & person_HW[window])
        foreign = np.count_nonzero(edge_hw & foreign_HW[window])
        if met and foreign <= MOST_FOREIGN_EDGE * np.count_nonzero(edge_hw) and area <= MOST_HAIR * longer**2:
            kept_HW[window] |= inside_hw > 0
    return kept_HW


def _longer(face: Face) -> float:
    x0, y0, x1, y1 = face.box
    return max(x1 - x0, y1 - y0)


def _distance(face: Face, shape: tuple[int, ...]) -> np.ndarray:
    """Distance of each pixel from the middle of the face, in longer sides of its box, float32 HW."""
    x0, y0, x1, y1 = face.box
    x = (np.arange(shape[1], dtype=np.float32) - np.float32((x0 + x1) / 2)) / np.float32(_longer(face))
    y = (np.arange(shape[0], dtype=np.float32) - np.float32((y0 + y1) / 2)) / np.float32(_longer(face))
    return np.hypot(x[None, :], y[:, None])


def _touches(label_HW: np.ndarray, place_HW: np.ndarray, count: int) -> np.ndarray:
    """Which components have a pixel in a place (bool, by number; never the background)."""
    touched = np.bincount(label_HW[place_HW], minlength=count) > 0
    touched[0] = False
    return touched


def _same(face: Face, own: Face) -> bool:
    """Whether it is the same face, found a second time."""
    (a0, b0, a1, b1), (x0, y0, x1, y1) = face.box, own.box
    shared = max(0.0, min(a1, x1) - max(a0, x0)) * max(0.0, min(b1, y1) - max(b0, y0))
    return shared >= 0.5 * min(face.area_px, own.area_px)
