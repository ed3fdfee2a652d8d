"""Mask videos that lossy compression or another range has moved: their levels are brought back to the tiers.

MJPEG and full-range files give 79, 127 and 254 for tiers of 80, 128 and 255, and grey written by H.264 as limited range
74, 130 and 255. `_HW` pixel grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What Build Masks writes unless told otherwise; a dataset's other masks may show other tiers.
USUAL_TIERS = (0, 80, 128, 255)
_FARTHEST = 8
_NEXT_TIER_TIMES = 3
# A level is a peak of the histogram: this share of the picture within 2, and half of what lies within 8.
_LEVEL_SHARE, _LEVEL_OF_AROUND = 0.01, 0.45
_WITHIN, _AROUND = 2, 8
# Noise around a level that is moved along with it.
_NOISE = 3


@dataclass(frozen=True)
class Drift:
    """`moves`: (level found, tier) for each level of a mask video that has moved; empty where none has, or where one of
    them could not be told. `unknown`: levels that are no tier."""

    moves: tuple[tuple[int, int], ...] = ()
    unknown: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        """Differs for moves that weigh differently; empty without any."""
        return ",".join(f"{level}>{tier}" for level, tier in self.moves)

    @property
    def note(self) -> str:
        """A sentence for people, or empty."""
        if self.moves:
            levels, tiers = (", ".join(str(pair[end]) for pair in self.moves) for end in (0, 1))
            return f"its values have drifted: {levels} are read as the tiers {tiers}"
        if self.unknown:
            return (
                f"its values {', '.join(map(str, self.unknown))} are no tiers of this dataset and the file is "
                "compressed with loss; they are used as they are"
            )
        return ""

    def undo(self, mask_HW: np.ndarray) -> np.ndarray:
        """The mask with the moved levels, and noise around them, on their tiers."""
        table = np.arange(256, dtype=np.uint8)
        for level, tier in self.moves:
            table[max(0, level - _NOISE) : level + _NOISE + 1] = tier
        return table[mask_HW]


def find_drift(masks: Sequence[np.ndarray], tiers: Sequence[int]) -> Drift:
    """How the levels of some frames of one mask video (uint8) lie to the `tiers`.

    A level has drifted from the tier that is at most 8 away, where the next tier is three times as far. A soft mask has
    no levels but 0 and 255.
    """
    counts = np.sum([np.bincount(mask_HW.ravel(), minlength=256) for mask_HW in masks], axis=0)
    moves: list[tuple[int, int]] = []
    unknown: list[int] = []
    for level in _levels(counts / max(1, counts.sum())):
        near, *others = sorted(tiers, key=lambda tier: abs(tier - level))
        away = abs(near - level)
        told_apart = all(abs(tier - level) > _NEXT_TIER_TIMES * away for tier in others)
        if away <= _FARTHEST and told_apart and near not in [tier for _, tier in moves]:
            moves.append((level, near))
        else:
            unknown.append(level)
    if unknown:
        return Drift(unknown=tuple(sorted(unknown)))
    return Drift(tuple(sorted(moves))) if any(level != tier for level, tier in moves) else Drift()


def _levels(share: np.ndarray) -> list[int]:
    """The values at which the histogram has its peaks."""
    left = share.copy()
    levels: list[int] = []
    while True:
        within = np.convolve(left, np.ones(2 * _WITHIN + 1), mode="same")
        center = int(within.argmax())
        if within[center] < _LEVEL_SHARE:
            return sorted(levels)
        window = slice(max(0, center - _WITHIN), center + _WITHIN + 1)
        around = share[max(0, center - _AROUND) : center + _AROUND + 1].sum()
        if within[center] >= _LEVEL_OF_AROUND * around:
            levels.append(window.start + int(left[window].argmax()))
        left[window] = 0
