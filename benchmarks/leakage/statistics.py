"""Medians over seeds, and paired differences with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 10_000


@dataclass(frozen=True)
class Difference:
    """Median over seeds of (contender − reference), and the 95 % interval of that median."""

    median: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """The interval does not contain 0."""
        return self.low > 0 or self.high < 0


def paired_difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference:
    """Over the seeds that both have: percentile bootstrap of the median, 10,000 resamples from a fixed generator."""
    differences = np.array([values[seed] - reference[seed] for seed in common_seeds([values, reference])])
    generator = np.random.default_rng(0)
    drawn = differences[generator.integers(len(differences), size=(_RESAMPLES, len(differences)))]
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5])
    return Difference(float(np.median(differences)), float(low), float(high))


def common_seeds(results: Sequence[Mapping[int, float]]) -> list[int]:
    """The seeds that all have, ascending."""
    return sorted(set.intersection(*(set(each) for each in results)))
