"""One picture's tiered weights, and what a report says of them. `_HW`, `_HWC` pixel grid."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..parts.part_map import TIER_NAMES, PartMap, PartSegmenter
from ..parts.tiers import TierWeights, weigh_parts
from .kept_parts import KeptParts

# Smaller regions without a face are a hand at the edge, or too few pixels to mind.
MIN_FACELESS_FRACTION = 0.01


@dataclass(frozen=True, eq=False)
class TierMaker:
    """How tiered masks are made: from the parts that `segmenter` finds, or that are `kept` from before, by `tiers`; of
    a video every n-th frame, several `workers` at a time."""

    segmenter: PartSegmenter
    tiers: TierWeights
    kept: KeptParts
    video_every: int
    workers: int


@dataclass(frozen=True, eq=False)
class TieredMask:
    """weights_HW: float32, every value one of the tiers' / 255. `fractions`: how much of the picture each tier is.
    `faceless`: how many regions of people have no face in them, by `count_faceless`."""

    weights_HW: np.ndarray
    fractions: dict[str, float]
    approximate: bool
    faceless: int

    @property
    def coverage(self) -> float:
        """The mean weight."""
        return float(self.weights_HW.mean(dtype=np.float64))


def tiered_mask(parts: PartMap, tiers: TierWeights) -> TieredMask:
    """The weights of everyone in a picture. Raises what `weigh_parts` raises."""
    pixels = np.bincount(parts.label_HW.ravel().astype(np.intp, copy=False), minlength=len(parts.scheme.names))
    fractions = {
        tier: round(int(pixels[list(parts.scheme.tier_ids(tier))].sum()) / parts.label_HW.size, 6)
        for tier in TIER_NAMES
    }
    return TieredMask(weigh_parts(tiers, parts), fractions, parts.approximate, count_faceless(parts))


def count_faceless(parts: PartMap) -> int:
    """How many connected regions of face, hair and body, of 1 % of the picture and more, hold no pixel of a face.

    They are people turned away or cut off, or a face that was not found. 0 where the scheme has no faces.
    """
    scheme = parts.scheme
    if not scheme.face:
        return 0
    people_HW = parts.mask(identifier for tier in TIER_NAMES for identifier in scheme.tier_ids(tier))
    count, label_HW, stats, _ = cv2.connectedComponentsWithStats(people_HW.astype(np.uint8), connectivity=8)
    with_face = np.bincount(label_HW[parts.mask(scheme.tier_ids("face"))], minlength=count) > 0
    large = stats[:, cv2.CC_STAT_AREA] >= MIN_FACELESS_FRACTION * people_HW.size
    return int(np.count_nonzero(large[1:] & ~with_face[1:]))
