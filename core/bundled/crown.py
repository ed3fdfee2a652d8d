"""Classifies the top of a head as hair, bare scalp or hat, by its colour and texture against the face's skin.

The limits lie between what was measured on 45 heads: hair is darker than the skin or less red, and has strands; a bare
scalp is neither darker nor less red, and smooth; a plain hat is as even as no hair, an embroidered cap more patterned.
"""

from __future__ import annotations

from enum import Enum

import cv2
import numpy as np

from .head_view import HeadView

_MIN_PX = 100  # fewer pixels tell nothing; it is hair then
# Differences of the medians to the face's skin, in OpenCV's 8-bit Lab: lightness, and green to red.
_BARE_LIGHTNESS, _BARE_RED = -20.0, -4.0
_BARE_TEXTURE = 0.12
_PLAIN_TEXTURE, _PLAIN_SPREAD = 0.11, 6.0
_PATTERN_TEXTURE, _PATTERN_SPREAD = 0.8, 60.0


class Crown(str, Enum):
    HAIR = "hair"
    BARE = "bare"
    HAT = "hat"


def look_at_crown(view: HeadView) -> Crown:
    """What is seen above the forehead of this head."""
    inside_HW = cv2.erode(view.person_HW.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    crown_HW = inside_HW & (view.up_HW > 0.72) & (view.up_HW < 1.0) & (view.aside_HW < 0.6) & ~view.oval_HW
    skin_HW = view.inner_HW & (view.up_HW < 0.3)
    if np.count_nonzero(crown_HW) < _MIN_PX or not skin_HW.any():
        return Crown.HAIR
    lab_HWC = cv2.cvtColor(view.rgb_HWC, cv2.COLOR_RGB2LAB).astype(np.float32)
    lightness, red, _ = np.median(lab_HWC[crown_HW], axis=0) - np.median(lab_HWC[skin_HW], axis=0)
    spread = float(lab_HWC[crown_HW][:, 0].std())
    texture = float(np.median(_texture(view.rgb_HWC)[crown_HW]))
    if texture < _BARE_TEXTURE and lightness > _BARE_LIGHTNESS and red > _BARE_RED:
        return Crown.BARE
    plain = texture < _PLAIN_TEXTURE and spread < _PLAIN_SPREAD
    patterned = texture > _PATTERN_TEXTURE and spread > _PATTERN_SPREAD
    return Crown.HAT if plain or patterned else Crown.HAIR


def _texture(rgb_HWC: np.ndarray) -> np.ndarray:
    """How much a pixel stands out from its neighbours, in parts of the brightness around it."""
    grey_HW = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.abs(cv2.Laplacian(grey_HW, cv2.CV_32F, ksize=3)) / (cv2.boxFilter(grey_HW, -1, (9, 9)) + 20)
