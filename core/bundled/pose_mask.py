"""One person's mask from BlazePose (heavy), looked for in regions anchored on that person's face.

The net sees one person in a square region and gives 39 landmarks and a mask. In a group it likes to take the
neighbour for the person; painting the neighbours' faces over keeps it on ours. Looks whose nose leaves the face are
refused, looks with a body too small for the face count less, and the logits of the good looks are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .face_mesh import square_to_input
from .nets import load_net
from .registry import POSE

_INPUT_PX = 256
_OUTPUTS = ("Identity", "Identity_1", "Identity_2")
# (side, shift down from the face's middle, looks) in sides of the face: half body and once refined, whole body, bust.
_REGIONS = ((8.0, 2.4, 2), (11.0, 3.4, 1), (5.5, 1.4, 2))
_BUST = 5.5
_AT_ONCE = 2  # regions that the net is shown together: few, so that an interrupt comes soon
_TOGETHER = 4  # people whose regions are looked at together
_MAX_NOSE_SHIFT = 0.6
_SMALLEST_TORSO = 1.2  # from shoulders to hips; a face's own side is about 0.5 of a seated person's
_GOOD = 0.6
_SPREAD = 0.3  # looks this much worse than the best one are left out
_LOGIT_LIMIT = 6.0
_EDGE_PX = 40  # masks fade out over this border of the region, where the net knows least
_PAINT_RADIUS, _KEEP_RADIUS = 0.52, 0.65
_PAINTED_LOGIT = -2.0
# BlazePose landmarks: nose, shoulders, hips; 33 and 34 are the middle of the hips and a point on the body's circle.
_NOSE, _SHOULDERS, _HIPS, _CENTRE, _TOP = 0, (11, 12), (23, 24), 33, 34


@dataclass(frozen=True, eq=False)
class HeadPlace:
    """Where a face is: its middle, between eyes and mouth, and the longer side of its box, in pixels."""

    centre: np.ndarray
    side_px: float

    def distance(self, size: tuple[int, int]) -> np.ndarray:
        """Distance of each pixel of a picture of `size` from the middle, in sides of the face, float32 HW."""
        x = (np.arange(size[0], dtype=np.float32) - np.float32(self.centre[0])) / np.float32(self.side_px)
        y = (np.arange(size[1], dtype=np.float32) - np.float32(self.centre[1])) / np.float32(self.side_px)
        return np.hypot(x[None, :], y[:, None])

    def disc(self, radius: float, size: tuple[int, int]) -> tuple[tuple[slice, slice], np.ndarray]:
        """The window of a picture of `size` that holds all pixels no farther than `radius`, and `distance` in it."""
        low = np.clip(np.floor(self.centre - radius * self.side_px), 0, size).astype(int)
        high = np.clip(np.ceil(self.centre + radius * self.side_px) + 1, low, size).astype(int)
        x, y = (
            (np.arange(low[axis], high[axis], dtype=np.float32) - np.float32(self.centre[axis]))
            / np.float32(self.side_px)
            for axis in (0, 1)
        )
        return (slice(low[1], high[1]), slice(low[0], high[0])), np.hypot(x[None, :], y[:, None])


@dataclass(frozen=True, eq=False)
class _Look:
    logit_hw: np.ndarray
    region_to_picture_23: np.ndarray
    quality: float
    landmarks_N2: np.ndarray


@dataclass(eq=False)
class _Search:
    """One person being looked for: their head, the picture with the others' faces painted over, how high each pixel's
    logit may get, and the looks by region."""

    head: HeadPlace
    painted_HWC: np.ndarray
    limit_HW: np.ndarray
    looks: list[list[_Look]]

    @property
    def quality(self) -> float:
        """The best look's."""
        return max(look.quality for looks in self.looks for look in looks)


@dataclass(frozen=True, eq=False)
class _Region:
    """A square of the picture to look at: side in pixels, turned by `angle` radians."""

    centre: np.ndarray
    side_px: float
    angle: float


def find_person(rgb_HWC: np.ndarray, head: HeadPlace, others: Sequence[HeadPlace]) -> np.ndarray:
    """How surely each pixel is the person with this head: logits in [-6, 6], float32 HW.

    `rgb_HWC`: uint8 RGB. `others`: the other heads of the picture.
    """
    search = _begin(rgb_HWC, head, others, _mean_colour(rgb_HWC))
    _look_for([search])
    return _logits(search)


def find_everyone(rgb_HWC: np.ndarray, heads: Sequence[HeadPlace]) -> list[np.ndarray]:
    """`find_person` for each of the heads of a picture, the others being the others."""
    logits: list[np.ndarray] = []
    paint = _mean_colour(rgb_HWC)
    for first in range(0, len(heads), _TOGETHER):
        numbers = range(first, min(first + _TOGETHER, len(heads)))
        searches = [_begin(rgb_HWC, heads[n], [*heads[:n], *heads[n + 1 :]], paint) for n in numbers]
        _look_for(searches)
        logits += [_logits(search) for search in searches]
    return logits


def _mean_colour(rgb_HWC: np.ndarray) -> np.ndarray:
    return np.array(cv2.mean(rgb_HWC)[:3])


def _begin(rgb_HWC: np.ndarray, head: HeadPlace, others: Sequence[HeadPlace], paint: np.ndarray) -> _Search:
    limit_HW = _limits(head, others, (rgb_HWC.shape[1], rgb_HWC.shape[0]))
    painted_HWC = rgb_HWC.copy()
    painted_HWC[limit_HW < _LOGIT_LIMIT] = paint
    return _Search(head, painted_HWC, limit_HW, [[] for _ in _REGIONS])


def _look_for(searches: Sequence[_Search]) -> None:
    """Look at the regions of everyone; at the bust of those alone whom the others do not show well."""
    wide = [number for number, (side, *_) in enumerate(_REGIONS) if side != _BUST]
    _look_in_rounds([(search, number) for search in searches for number in wide])
    bust = [number for number, (side, *_) in enumerate(_REGIONS) if side == _BUST]
    _look_in_rounds([(search, number) for search in searches if search.quality < _GOOD for number in bust])


def _look_in_rounds(wanted: Sequence[tuple[_Search, int]]) -> None:
    """Look at these regions, then again at those that are refined, where the landmarks of the look before say."""
    asked = [(search, number, _anchored(search.head, number)) for search, number in wanted]
    while asked:
        for first in range(0, len(asked), _AT_ONCE):
            _look(asked[first : first + _AT_ONCE])
        asked = [
            (search, number, _refine(search.looks[number][-1]))
            for search, number, _ in asked
            if len(search.looks[number]) < _REGIONS[number][2] and search.looks[number][-1].quality >= 0
        ]


def _anchored(head: HeadPlace, number: int) -> _Region:
    side, down, _ = _REGIONS[number]
    return _Region(head.centre + np.array([0.0, down * head.side_px]), side * head.side_px, 0.0)


def _refine(look: _Look) -> _Region:
    centre = look.landmarks_N2[_CENTRE]
    spoke = look.landmarks_N2[_TOP] - centre
    return _Region(
        centre, 2.5 * float(np.hypot(spoke[0], spoke[1])), float(np.pi / 2 - np.arctan2(-spoke[1], spoke[0]))
    )


def _logits(search: _Search) -> np.ndarray:
    looks = [look for of_region in search.looks for look in of_region]
    return np.minimum(_average(looks, (search.limit_HW.shape[1], search.limit_HW.shape[0])), search.limit_HW)


def _limits(head: HeadPlace, others: Sequence[HeadPlace], size: tuple[int, int]) -> np.ndarray:
    """The highest logit each pixel may get, float32 HW: low on the other heads' discs, falling to their middles.

    What the net says of paint is nothing; most of what was there is the neighbour's.
    """
    limit_HW = np.full((size[1], size[0]), _LOGIT_LIMIT, np.float32)
    for other in others:
        window, distance_hw = other.disc(_PAINT_RADIUS, size)
        limit_hw = limit_HW[window]
        inwards_hw = np.clip((_PAINT_RADIUS - distance_hw) / _PAINT_RADIUS * 3, 0, 1)
        lower_hw = _PAINTED_LOGIT - (_LOGIT_LIMIT + _PAINTED_LOGIT) * inwards_hw
        limit_HW[window] = np.where(distance_hw < _PAINT_RADIUS, np.minimum(limit_hw, lower_hw), limit_hw)
    window, distance_hw = head.disc(_KEEP_RADIUS, size)
    limit_HW[window][distance_hw <= _KEEP_RADIUS] = _LOGIT_LIMIT
    return limit_HW


def _look(asked: Sequence[tuple[_Search, int, _Region]]) -> None:
    """Have the net look at some regions at once, and note what it says with the searches."""
    forward = [square_to_input(region.centre, region.side_px, region.angle, _INPUT_PX) for _, _, region in asked]
    crops_NHWC = np.stack(
        [
            cv2.warpAffine(search.painted_HWC, forward_23, (_INPUT_PX, _INPUT_PX), flags=cv2.INTER_LINEAR)
            for (search, _, _), forward_23 in zip(asked, forward, strict=True)
        ]
    )
    found = load_net(POSE, _OUTPUTS).run(crops_NHWC.astype(np.float32) / 255.0)
    for (search, number, _), forward_23, landmarks, presence, logits in zip(asked, forward, *found, strict=True):
        look = _weigh(search.head, forward_23, landmarks, float(presence[0]), logits)
        search.looks[number].append(look)


def _weigh(
    head: HeadPlace, forward_23: np.ndarray, landmarks: np.ndarray, presence: float, logits: np.ndarray
) -> _Look:
    back_23 = cv2.invertAffineTransform(forward_23)
    points_N2 = landmarks.reshape(39, 5)[:, :2].astype(np.float64) @ back_23[:, :2].T + back_23[:, 2]
    nose_shift = float(np.linalg.norm(points_N2[_NOSE] - head.centre)) / head.side_px
    torso = points_N2[list(_SHOULDERS)].mean(0) - points_N2[list(_HIPS)].mean(0)
    too_small = max(0.0, _SMALLEST_TORSO - float(np.linalg.norm(torso)) / head.side_px)
    quality = presence - 0.8 * nose_shift - too_small
    return _Look(logits.reshape(256, 256), back_23, quality if nose_shift <= _MAX_NOSE_SHIFT else -1.0, points_N2)


def _average(looks: Sequence[_Look], size: tuple[int, int]) -> np.ndarray:
    best = max(looks, key=lambda look: look.quality)
    good = [look for look in looks if look.quality > max(_GOOD, best.quality - _SPREAD)] or [best]
    ramp = np.clip(np.minimum(np.arange(_INPUT_PX), _INPUT_PX - 1 - np.arange(_INPUT_PX)) / _EDGE_PX, 0.02, 1.0)
    trust_hw = np.minimum.outer(ramp, ramp).astype(np.float32)
    total_HW = np.zeros((size[1], size[0]), np.float32)
    trust_HW = np.zeros_like(total_HW)
    for look in good:
        logit_hw = np.clip(look.logit_hw, -_LOGIT_LIMIT, _LOGIT_LIMIT) * trust_hw
        total_HW += cv2.warpAffine(logit_hw, look.region_to_picture_23, size)
        trust_HW += cv2.warpAffine(trust_hw, look.region_to_picture_23, size)
    return np.where(trust_HW > 0.01, total_HW / np.maximum(trust_HW, 0.01), np.float32(-_LOGIT_LIMIT))
