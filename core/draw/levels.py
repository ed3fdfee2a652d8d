"""Which weights a legend names: the tiers that are there, or round ones where weights are soft."""

from __future__ import annotations

import numpy as np

MOST_LEVELS = 8
ROUND_WEIGHTS = (255, 191, 128, 64, 0)
# At the edges of tiers, and in latent cells that hold two of them, are mixtures: few of them side by side.
_LEAST_PIXELS, _LEAST_SHARE = 4, 1 / 200


class WeightLevels:
    """The levels of some weights, of 255, taken together."""

    def __init__(self) -> None:
        self._found: set[int] = set()
        self._soft = False

    def add(self, weights: np.ndarray) -> None:
        """Weights in [0, 1], of any shape that ends in rows and columns."""
        values = np.round(np.clip(weights, 0, 1) * 255).astype(np.int64)
        there = np.unique(values)
        if len(there) > MOST_LEVELS:
            flat = values[..., 1:, 1:][
                (values[..., 1:, 1:] == values[..., :-1, 1:]) & (values[..., 1:, 1:] == values[..., 1:, :-1])
            ]
            counts = np.bincount(flat, minlength=256)
            often = counts >= max(_LEAST_PIXELS, int(counts[1:].sum()) * _LEAST_SHARE)
            self._soft |= 3 * int(counts[1:][often[1:]].sum()) < int((values > 0).sum())
            there = there[often[there] | (there == 0)]
        self._found.update(there.tolist())

    @property
    def found(self) -> bool:
        """Whether anything was added."""
        return bool(self._found) or self._soft

    def values(self) -> tuple[int, ...]:
        """From the greatest to the least."""
        if self._soft or not 0 < len(self._found) <= MOST_LEVELS:
            return ROUND_WEIGHTS
        return tuple(sorted(self._found, reverse=True))
