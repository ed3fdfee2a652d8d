"""One person's mask, taken from among everyone's. `_HW` is the pixel grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..errors import InternalError
from .faces import Face


@dataclass(frozen=True, eq=False)
class PersonMask:
    """probability_HW: float32 in [0, 1], how surely a pixel is this person. `face_index`: whose it is, when known."""

    probability_HW: np.ndarray
    face_index: int | None = None

    def __post_init__(self) -> None:
        probability_HW = self.probability_HW
        if probability_HW.ndim != 2 or probability_HW.dtype != np.float32:
            raise InternalError(f"a person mask is float32 (H,W), got {probability_HW.dtype} {probability_HW.shape}")


class PersonSegmenter(Protocol):
    """Gives one mask per person."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever the same picture could give another result."""
        ...

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        """rgb_HWC: uint8 RGB, upright; `faces` are those found in it. Masks have the picture's size."""
        ...
