"""A short clip: a square with a pattern moves over a still, patterned background."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = (160, 96)
SQUARE = 32
STEP = (3, 1)
START = (12, 10)


def pattern(size: tuple[int, int], seed: int, low: int = 0, high: int = 256) -> np.ndarray:
    """Blotches, rgb_HWC uint8."""
    noise_HWC = np.random.default_rng(seed).integers(low, high, (size[1], size[0], 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise_HWC, (0, 0), 1.5)


def place(frame: int) -> tuple[int, int]:
    """(left, top) of the square in a frame."""
    return START[0] + STEP[0] * frame, START[1] + STEP[1] * frame


def square(frame: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """square_HW bool: where it is."""
    left, top = place(frame)
    square_HW = np.zeros(size[::-1], np.bool_)
    square_HW[top : top + SQUARE, left : left + SQUARE] = True
    return square_HW


def frames(count: int) -> list[np.ndarray]:
    """rgb_HWC uint8 each."""
    ground_HWC, thing_HWC = pattern(SIZE, 0, 0, 160), pattern((SQUARE, SQUARE), 1, 60, 256)
    drawn: list[np.ndarray] = []
    for frame in range(count):
        left, top = place(frame)
        rgb_HWC = ground_HWC.copy()
        rgb_HWC[top : top + SQUARE, left : left + SQUARE] = thing_HWC
        drawn.append(rgb_HWC)
    return drawn
