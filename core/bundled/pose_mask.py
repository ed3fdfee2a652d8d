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


@dataclass(frozen=True, eq=False)
class _Look:
    logit_hw: np.ndarray
    region_to_picture_23: np.ndarray
    quality: float
    landmarks_N2: np.ndarray


def find_person(rgb_HWC: np.ndarray, head: HeadPlace, others: Sequence[HeadPlace]) -> np.ndarray:
    """How surely each pixel is the person with this head: logits in [-6, 6], float32 HW.

    `rgb_HWC`: uint8 RGB. `others`: the other heads of the picture.
    """
    height, width = rgb_HWC.shape[:2]
    limit_HW = _limits(head, others, (width, height))
    painted_HWC = rgb_HWC.copy()
    painted_HWC[limit_HW < _LOGIT_LIMIT] = rgb_HWC.reshape(-1, 3).mean(0)
    looks: list[_Look] = []
    for side, down, count in _REGIONS:
        if side == _BUST and max(look.quality for look in looks) >= _GOOD:
            continue
        centre, size, angle = head.centre + np.array([0.0, down * head.side_px]), side * head.side_px, 0.0
        for _ in range(count):
            look = _look(painted_HWC, centre, size, angle, head)
            looks.append(look)
            if look.quality < 0:
                break
            centre = look.landmarks_N2[_CENTRE]
            spoke = look.landmarks_N2[_TOP] - centre
            size = 2.5 * float(np.hypot(spoke[0], spoke[1]))
            angle = float(np.pi / 2 - np.arctan2(-spoke[1], spoke[0]))
    return np.minimum(_average(looks, (width, height)), limit_HW)


def _limits(head: HeadPlace, others: Sequence[HeadPlace], size: tuple[int, int]) -> np.ndarray:
    """The highest logit each pixel may get, float32 HW: low on the other heads' discs, falling to their middles.

    What the net says of paint is nothing; most of what was there is the neighbour's.
    """
    limit_HW = np.full((size[1], size[0]), _LOGIT_LIMIT, np.float32)
    for other in others:
        distance_HW = other.distance(size)
        inwards_HW = np.clip((_PAINT_RADIUS - distance_HW) / _PAINT_RADIUS * 3, 0, 1)
        lower_HW = _PAINTED_LOGIT - (_LOGIT_LIMIT + _PAINTED_LOGIT) * inwards_HW
        limit_HW = np.where(distance_HW < _PAINT_RADIUS, np.minimum(limit_HW, lower_HW), limit_HW)
    limit_HW[head.distance(size) <= _KEEP_RADIUS] = _LOGIT_LIMIT
    return limit_HW


def _look(rgb_HWC: np.ndarray, centre: np.ndarray, size: float, angle: float, head: HeadPlace) -> _Look:
    forward_23 = square_to_input(centre, size, angle, _INPUT_PX)
    crop_HWC = cv2.warpAffine(rgb_HWC, forward_23, (_INPUT_PX, _INPUT_PX), flags=cv2.INTER_LINEAR)
    landmarks, presence, logits = load_net(POSE, _OUTPUTS).run(crop_HWC[None].astype(np.float32) / 255.0)
    back_23 = cv2.invertAffineTransform(forward_23)
    points_N2 = landmarks.reshape(39, 5)[:, :2].astype(np.float64) @ back_23[:, :2].T + back_23[:, 2]
    nose_shift = float(np.linalg.norm(points_N2[_NOSE] - head.centre)) / head.side_px
    torso = points_N2[list(_SHOULDERS)].mean(0) - points_N2[list(_HIPS)].mean(0)
    too_small = max(0.0, _SMALLEST_TORSO - float(np.linalg.norm(torso)) / head.side_px)
    quality = float(presence.reshape(-1)[0]) - 0.8 * nose_shift - too_small
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
