"""How near a picture comes to a training photograph, by perceptual hashes (ImageHash's pHash, 256 bits).

Two hashes of unrelated photographs agree in about half of their bits, those of one photograph in nearly all, also after
another compression, size or brightness.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import imagehash
import numpy as np
from PIL import Image

_SIDE = 16
UNRELATED = 0.5
"""The share of bits in which unrelated pictures agree."""
REPEATED = 0.75
"""Training pictures that agree in as many bits are one photograph: kept twice, or frames of one shot."""


@dataclass(frozen=True, eq=False)
class TrainingHashes:
    """Hashes of the training photographs.

    bits_NVK: bool (N, views, bits), `names` in the same order. A photograph's views are the whole of it and its centre
    square, because training crops and samplers draw other aspects.
    """

    names: tuple[str, ...]
    bits_NVK: np.ndarray

    def nearest(self, rgb_HWC: np.ndarray) -> tuple[str, float]:
        """The photograph that a uint8 RGB picture, or its mirror image, is nearest to: its name and the share of equal
        bits, 1 for the same."""
        own_VK = np.concatenate([_views(rgb_HWC), _views(rgb_HWC[:, ::-1])])
        alike_N = _agreement(own_VK, self.bits_NVK).max(axis=(1, 2))
        found = int(alike_N.argmax())
        return self.names[found], float(alike_N[found])

    def typical(self) -> float:
        """What training photographs are to each other: the median, over photographs, of the agreement with the nearest
        other one. UNRELATED where there is no other.

        What agrees in REPEATED bits and more is no other photograph: measured by it, no picture could be a copy."""
        nearest: list[float] = []
        for own_VK in self.bits_NVK:
            alike_N = _agreement(own_VK, self.bits_NVK).max(axis=(1, 2))
            others_N = alike_N[alike_N < REPEATED]
            nearest += [float(others_N.max())] if others_N.size else []
        return float(np.median(nearest)) if nearest else UNRELATED


def hash_pictures(pictures: Sequence[tuple[str, np.ndarray]]) -> TrainingHashes:
    """Hashes of (name, rgb_HWC uint8) pictures; there is at least one."""
    return TrainingHashes(tuple(name for name, _ in pictures), np.stack([_views(rgb) for _, rgb in pictures]))


def agreement(first_HWC: np.ndarray, second_HWC: np.ndarray) -> float:
    """The share of equal bits of two uint8 RGB pictures as they are, 1 for the same."""
    return float((_bits(Image.fromarray(first_HWC)) == _bits(Image.fromarray(second_HWC))).mean())


def _agreement(own_VK: np.ndarray, bits_NVK: np.ndarray) -> np.ndarray:
    """(N, views, own views): the share of equal bits."""
    return (bits_NVK[:, :, None] == own_VK[None, None]).mean(axis=3)


def _views(rgb_HWC: np.ndarray) -> np.ndarray:
    height, width = rgb_HWC.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square_HWC = rgb_HWC[top : top + side, left : left + side]
    return np.stack([_bits(Image.fromarray(np.ascontiguousarray(view))) for view in (rgb_HWC, square_HWC)])


def _bits(picture: Image.Image) -> np.ndarray:
    return np.asarray(imagehash.phash(picture, hash_size=_SIDE).hash, bool).reshape(-1)
