"""Tiered weight masks for every frame of a video, one frame after the other. `_HW`, `_HWC` pixel grid."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np

from ..alpha import weights_to_uint8
from ..parts.part_map import TIER_NAMES, PartSegmenter
from ..parts.tiers import TierWeights
from ..video.masks import MaskVideoWriter
from ..video.reader import probe, read_frames
from ..workers import in_order
from .each_item import Advance, segmented_frames
from .items import DatasetItem
from .tiered import TieredMask, tiered_mask


def write_video_tiers(
    item: DatasetItem,
    segmenter: PartSegmenter,
    tiers: TierWeights,
    target: Path,
    every: int,
    workers: int,
    advance: Advance,
) -> dict[str, object]:
    """Write `target` (.mkv), one mask per frame of the video; between segmented frames the one before holds.

    Returns what a report says: {"coverage", "tiers", "approximate", "video": {"frames", "segmented", "without_face"}},
    the first two as means over the segmented frames. VideoError names the file and the frame.
    """
    info = probe(item.media_path)
    wanted = segmented_frames(info.frames, every)

    def work(frame: tuple[int, np.ndarray]) -> tuple[int, TieredMask]:
        return frame[0], tiered_mask(segmenter, tiers, frame[1])

    coverage: list[float] = []
    shares: list[dict[str, float]] = []
    approximate = False
    with (
        MaskVideoWriter(target, info.size, info.times) as writer,
        closing(in_order(work, read_frames(item.media_path, wanted), workers)) as masks,
    ):
        for (number, mask), following in zip(masks, [*wanted[1:], info.frames], strict=True):
            mask_HW = weights_to_uint8(mask.weights_HW)
            for _ in range(number, following):
                writer.add(mask_HW)
            coverage.append(mask.coverage)
            shares.append(mask.shares)
            approximate = approximate or mask.approximate
            advance(1, f"{item.name}: frame {number + 1} of {info.frames}")
    return {
        "coverage": round(float(np.mean(coverage)), 6),
        "tiers": {tier: round(float(np.mean([each[tier] for each in shares])), 6) for tier in TIER_NAMES},
        "approximate": approximate,
        "video": {
            "frames": info.frames,
            "segmented": len(wanted),
            "without_face": sum(each["face"] == 0 for each in shares),
        },
    }
