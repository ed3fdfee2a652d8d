"""One picture's tiered weights, and what a report says of them. `_HW`, `_HWC` pixel grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..parts.part_map import TIER_NAMES, PartSegmenter
from ..parts.tiers import TierWeights, weigh_parts


@dataclass(frozen=True, eq=False)
class TieredMask:
    """weights_HW: float32, every value one of the tiers' / 255. `shares`: how much of the picture each tier is."""

    weights_HW: np.ndarray
    shares: dict[str, float]
    approximate: bool

    @property
    def coverage(self) -> float:
        """The mean weight."""
        return float(self.weights_HW.mean(dtype=np.float64))


def tiered_mask(segmenter: PartSegmenter, tiers: TierWeights, rgb_HWC: np.ndarray) -> TieredMask:
    """The weights of everyone in an upright uint8 RGB picture. Raises what the segmenter and `weigh_parts` raise."""
    parts = segmenter.segment(rgb_HWC)
    shares = {tier: round(float(parts.mask(parts.scheme.tier_ids(tier)).mean()), 6) for tier in TIER_NAMES}
    return TieredMask(weigh_parts(tiers, parts), shares, parts.approximate)
