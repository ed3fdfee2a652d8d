"""Label maps that other packs hand over as a MASK. `_HW` is the pixel grid."""

from __future__ import annotations

from enum import Enum

import numpy as np

from ..errors import SettingError
from ..parts.part_map import SCHEMES, PartMap

# A map that went through an 8-bit picture is off by half a step of 1/255; one that did not by what float16 rounds.
_EIGHT_BIT_SLACK = 0.5 / 255
_FLOAT_SLACK = 0.02


class ClassMapEncoding(str, Enum):
    """How a class number became a value in [0, 1]."""

    OVER_LAST = "id/(classes-1)"
    OVER_255 = "id/255"


def parts_from_class_map(class_map_HW: np.ndarray, scheme_id: str, encoding: ClassMapEncoding | str) -> PartMap:
    """The parts that a MASK of class numbers stands for; labels are uint8.

    class_map_HW: float in [0, 1], every value id / (classes - 1) or id / 255 as `encoding` says; may have been rounded
    to 8 bits. Raises SettingError on an unknown scheme or encoding, on values between two classes (a resized map, or
    another scheme or encoding) and on class numbers that the scheme does not have.
    """
    if scheme_id not in SCHEMES:
        raise SettingError(f"The part scheme {scheme_id!r} is not one of {', '.join(SCHEMES)}.")
    known = [each.value for each in ClassMapEncoding]
    if encoding not in known:
        raise SettingError(f"The encoding {encoding!r} is not one of {', '.join(known)}.")
    if class_map_HW.ndim != 2 or class_map_HW.size == 0:
        raise SettingError(f"A class map has the shape (height, width), got {class_map_HW.shape}: give one MASK.")
    scheme = SCHEMES[scheme_id]
    last = len(scheme.names) - 1
    steps = {ClassMapEncoding.OVER_255: 255, ClassMapEncoding.OVER_LAST: last}[ClassMapEncoding(encoding)]
    values_HW = class_map_HW.astype(np.float32)
    if not np.isfinite(values_HW).all():
        raise SettingError("The class map holds values that are not numbers: give a MASK of class numbers.")
    label_HW = np.rint(values_HW * steps)
    apart_HW = np.abs(values_HW * steps - label_HW)
    unfit_HW = apart_HW > _slack(values_HW, steps)
    if unfit_HW.any():
        example = float(values_HW[unfit_HW][0])
        raise SettingError(
            f"The class map does not hold class numbers of {scheme_id} as {ClassMapEncoding(encoding).value}: "
            f"{unfit_HW.mean():.1%} of its values lie between two classes (such as {example:.4f}, class "
            f"{example * steps:.2f}). Choose the scheme and encoding it was made with, and do not resize or blur it."
        )
    low, high = int(label_HW.min()), int(label_HW.max())
    if low < 0 or high > last:
        raise SettingError(
            f"The class map holds class numbers {low} to {high}, but {scheme_id} has 0 to {last}: choose the scheme "
            "and encoding it was made with."
        )
    return PartMap(label_HW.astype(np.uint8), scheme)


def _slack(values_HW: np.ndarray, steps: int) -> float:
    """How far from a class number a value may lie, in classes."""
    eighths_HW = values_HW * 255
    eight_bit = bool((np.abs(eighths_HW - np.rint(eighths_HW)) < 1e-3).all())
    return max(_FLOAT_SLACK, _EIGHT_BIT_SLACK * steps + 1e-3) if eight_bit else _FLOAT_SLACK
