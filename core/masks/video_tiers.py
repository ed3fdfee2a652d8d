"""Tiered weight masks for every frame of a video, one frame after the other. `_HW`, `_HWC` pixel grid."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np

from ..alpha import weights_to_uint8
from ..dataset.items import DatasetItem
from ..parts.part_map import TIER_NAMES, PartMap, PartSegmenter
from ..video.masks import MaskVideoWriter
from ..video.reader import probe, read_frames
from ..workers import map_in_order
from .each_item import Advance, segmented_frames
from .tiered import TierMaker, tiered_mask


def write_video_tiers(
    item: DatasetItem, media: str, maker: TierMaker, target: Path, advance: Advance
) -> dict[str, object]:
    """Write `target` (.mkv), one mask per frame of the video; between segmented frames the one before holds.
    Frames whose parts are kept, by `media` (the hash of the video file), segmenter and number, are not segmented again.

    Returns what a report says: {"coverage", "tiers", "approximate", "video": {"frames", "segmented", "without_face"}},
    the first two as means over the segmented frames. VideoError names the file and the frame.
    """
    info = probe(item.media_path)
    wanted = segmented_frames(info.frames, maker.video_every)

    coverage: list[float] = []
    fractions: list[dict[str, float]] = []
    approximate = False
    with (
        MaskVideoWriter(target, info.size, info.times) as writer,
        closing(_parts_of_frames(item, media, maker, wanted)) as parts_of_frames,
    ):
        for (number, parts), following in zip(parts_of_frames, [*wanted[1:], info.frames], strict=True):
            mask = tiered_mask(parts, maker.tiers)
            mask_HW = weights_to_uint8(mask.weights_HW)
            for _ in range(number, following):
                writer.add(mask_HW)
            coverage.append(mask.coverage)
            fractions.append(mask.fractions)
            approximate = approximate or mask.approximate
            advance(1, f"{item.name}: frame {number + 1} of {info.frames}")
    return {
        "coverage": round(float(np.mean(coverage)), 6),
        "tiers": {tier: round(float(np.mean([each[tier] for each in fractions])), 6) for tier in TIER_NAMES},
        "approximate": approximate,
        "video": {
            "frames": info.frames,
            "segmented": len(wanted),
            "without_face": sum(each["face"] == 0 for each in fractions),
        },
    }


def _parts_of_frames(
    item: DatasetItem, media: str, maker: TierMaker, wanted: list[int]
) -> Generator[tuple[int, PartMap]]:
    """Number and parts of each wanted frame, in order; a video of which all are kept is not decoded."""
    segmenter, kept = maker.segmenter, maker.kept
    made_from = (media, segmenter.identity)

    def work(frame: tuple[int, np.ndarray]) -> tuple[int, PartMap]:
        number, rgb_HWC = frame
        return number, kept.get(lambda: segmenter.segment(rgb_HWC), *made_from, number)

    missing = [number for number in wanted if not kept.has(*made_from, number)]
    made_here = frozenset(missing)
    with closing(map_in_order(work, read_frames(item.media_path, missing), maker.workers)) as made:
        for number in wanted:
            if number in made_here:
                yield next(made)
            else:
                # Kept ones can be damaged, or gone meanwhile; that frame is read alone.
                yield number, kept.get(partial(_segment_frame, item, segmenter, number), *made_from, number)


def _segment_frame(item: DatasetItem, segmenter: PartSegmenter, number: int) -> PartMap:
    ((_, rgb_HWC),) = read_frames(item.media_path, [number])
    return segmenter.segment(rgb_HWC)
