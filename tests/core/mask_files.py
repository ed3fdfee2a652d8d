"""Mask files of every kind for tests: a shape in the middle that counts, and nothing around it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

H, W = 64, 80

INSIDE, OUTSIDE = (32, 40), (4, 72)

Write = Callable[..., Path]


def shape(value: int = 255, dtype: type = np.uint8) -> np.ndarray:
    mask_HW = np.zeros((H, W), dtype)
    mask_HW[16:48, 20:60] = value
    return mask_HW


def colour(inside: tuple[int, int, int], outside: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    rgb_HWC = np.zeros((H, W, 3), np.uint8)
    rgb_HWC[:] = outside
    rgb_HWC[16:48, 20:60] = inside
    return rgb_HWC


def photo() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (H, W, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (7, 7), 0), np.empty(0), 0, 255, cv2.NORM_MINMAX)


def with_alpha(rgb_HWC: np.ndarray, alpha_HW: np.ndarray) -> np.ndarray:
    return np.dstack([rgb_HWC, alpha_HW])


def grey(values_HW: np.ndarray) -> np.ndarray:
    return np.repeat(values_HW[..., None], 3, axis=2)


def palette(indices_HW: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(indices_HW, "P")
    image.putpalette(colours)
    return image


RED, BLACK, WHITE = (255, 0, 0), (0, 0, 0), (255, 255, 255)

VOC_CLASS_1 = [0, 0, 0, 128, 0, 0]
