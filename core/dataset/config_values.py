"""Values that keys of a dataset file take."""

from __future__ import annotations

import math
from enum import Enum

from ..errors import unhandled_choice
from ..mask_meaning import MaskMeaning
from ..video.clips import FrameExtraction


class Kind(str, Enum):
    """What a key takes, in words."""

    TEXT = "a text"
    SWITCH = "true or false"
    BOUND = "a whole number of at least 0"
    COUNT = "a whole number above 0"
    SIZE = "a whole number above 0 or [width, height]"
    COUNTS = "a list of whole numbers above 0, such as [1, 25, 45]"
    RATE = "a number above 0"
    FRACTION = "a number of at least 0 and below 1"
    MEANING = "one of " + ", ".join(meaning.value for meaning in MaskMeaning)
    EXTRACTION = "one of " + ", ".join(extraction.value for extraction in FrameExtraction)


def fits(value: object, kind: Kind) -> bool:
    """Whether a value from a file is of a kind."""
    if kind is Kind.TEXT:
        return isinstance(value, str)
    if kind is Kind.SWITCH:
        return isinstance(value, bool)
    if kind is Kind.EXTRACTION:
        return value in {extraction.value for extraction in FrameExtraction}
    if kind is Kind.MEANING:
        return value in {meaning.value for meaning in MaskMeaning}
    if kind is Kind.RATE:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf
    if kind is Kind.FRACTION:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1
    if kind is Kind.COUNTS:
        return isinstance(value, list) and bool(value) and all(fits(number, Kind.COUNT) for number in value)
    if kind not in (Kind.SIZE, Kind.BOUND, Kind.COUNT):
        raise unhandled_choice(kind)
    numbers = value if kind is Kind.SIZE and isinstance(value, list) and len(value) == 2 else [value]
    least = 0 if kind is Kind.BOUND else 1
    return all(isinstance(number, int) and not isinstance(number, bool) and number >= least for number in numbers)
