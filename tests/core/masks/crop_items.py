"""A person in a photograph and in a film, with the usual tiers, to be cropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from maskloss.core.dataset.crop import Rectangle
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.masks.crop_dataset import CropRules, crop_dataset

SIZE = (200, 160)

SETTINGS = LoadSettings((64, 64), bucket_step=16)

FACE = Rectangle(90, 40, 30, 36)

FACES = CropRules(whole=1, face=2, margin=0.25)


def tiers(face: Rectangle = FACE, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A person with the usual tiers: hair of 6 px around the face, and a body below."""
    mask_HW = np.zeros(size[::-1], np.uint8)
    mask_HW[face.bottom :, face.left - 25 : face.right + 25] = 128
    mask_HW[face.top - 6 : face.bottom, face.left - 6 : face.right + 6] = 80
    mask_HW[face.top : face.bottom, face.left : face.right] = 255
    return mask_HW


def cropped(*items: DatasetItem, rules: CropRules = FACES) -> tuple[Dataset, dict[str, object]]:
    return crop_dataset(Dataset(items), rules)


FRAMES = [Rectangle(40 + 10 * number, 40, 30, 36) for number in range(10)]


def holds(rectangle: Rectangle, faces: Sequence[Rectangle]) -> bool:
    """Whether it holds each of them whole."""
    return all(rectangle.union(face) == rectangle for face in faces)
