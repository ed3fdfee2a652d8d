"""A face found in a picture, and what finds and compares them. Coordinates are pixels of the upright picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from ..errors import InternalError

CROP_PX = 256


@dataclass(frozen=True, eq=False)
class Face:
    """One face. `index` numbers the faces of a picture from left to right, from 0.

    box: (x0, y0, x1, y1) in pixels, may reach outside the picture. score: the detector's confidence in [0, 1].
    keypoints_K2: float (6, 2): right eye, left eye, nose, mouth, right ear, left ear; the person's own right and left.
    oval_N2: float (N, 2), the outline of the face, or None. embedding: float (K,), as the recogniser gives it.
    """

    index: int
    box: tuple[float, float, float, float]
    score: float
    keypoints_K2: np.ndarray
    oval_N2: np.ndarray | None
    embedding: np.ndarray

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.box
        if self.index < 0 or not np.isfinite(self.box).all() or x1 <= x0 or y1 <= y0:
            raise InternalError(f"face {self.index}: the box {self.box} is empty or not finite")
        if self.keypoints_K2.shape != (6, 2):
            raise InternalError(f"face {self.index}: keypoints must be (6, 2), got {self.keypoints_K2.shape}")
        oval_N2 = self.oval_N2
        if oval_N2 is not None and (oval_N2.ndim != 2 or oval_N2.shape[0] < 3 or oval_N2.shape[1] != 2):
            raise InternalError(f"face {self.index}: the oval must be (N, 2) with N >= 3, got {oval_N2.shape}")
        if self.embedding.ndim != 1 or not np.isfinite(self.embedding).all() or not self.embedding.any():
            raise InternalError(f"face {self.index}: the embedding must be a finite vector other than zero")

    @property
    def side_px(self) -> float:
        """The shorter side of the box, in pixels."""
        x0, y0, x1, y1 = self.box
        return min(x1 - x0, y1 - y0)

    @property
    def area_px(self) -> float:
        """The area of the box, in square pixels."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


class FaceRecognizer(Protocol):
    """Finds faces and says how alike two of them are. With `parallel = True` several threads may use it at once."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever the same picture could give other embeddings."""
        ...

    @property
    def default_min_similarity(self) -> float:
        """From this similarity on, two faces are taken to be one person."""
        ...

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        """rgb_HWC: uint8 RGB, upright. Faces numbered from left to right."""
        ...

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        """How alike two embeddings are; more is more alike."""
        ...


def crop_face(rgb_HWC: np.ndarray, face: Face, side_px: int = CROP_PX) -> np.ndarray:
    """The face with some room around it, uint8 RGB (side_px, side_px, 3); beyond the picture's edge it is repeated."""
    return crop_picture(rgb_HWC, face.box, side_px)


def crop_picture(rgb_HWC: np.ndarray, box: tuple[float, float, float, float], side_px: int = CROP_PX) -> np.ndarray:
    """What is in a box (x0, y0, x1, y1), as `crop_face` of a face there."""
    x0, y0, x1, y1 = box
    half = max(x1 - x0, y1 - y0) * 0.8
    scale = side_px / (2 * half)
    matrix = np.array(
        [
            [scale, 0.0, side_px / 2 - scale * (x0 + x1) / 2],
            [0.0, scale, side_px / 2 - scale * (y0 + y1) / 2],
        ]
    )
    if scale < 1:
        # warpAffine does not average when it shrinks; smooth first so that the crop does not shimmer.
        rgb_HWC = cv2.GaussianBlur(rgb_HWC, (0, 0), 0.4 / scale)
    return cv2.warpAffine(rgb_HWC, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
