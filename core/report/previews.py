"""Contact sheets: what training will really use of a dataset, of a cache, and of weights on the latent grid.

`_HW` is the pixel grid, `_hw` the latent grid. Pictures are uint8 RGB; reports hold finite numbers only.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from ..cache.entries import CacheEntry
from ..cache.pictures import select_frames, source_pictures
from ..cache.store import LatentCache
from ..dataset.items import Dataset, DatasetItem, MaskOrigin
from ..dataset.load import LoadedItem, load_frame, load_item, load_still
from ..dataset.mask_facts import mask_facts
from ..draw.levels import WeightLevels
from ..draw.overlay import add_scale_below, add_weights_legend, face_overlay, heat_map, weights_tint
from ..draw.sheet import add_bars_below, contact_sheet, shrink, side_by_side
from ..errors import CacheError, DatasetError, ImageError
from ..mask_weights import MaskLossSettings, transform_weights
from ..people.decision import doubt, list_scores
from ..progress import SILENT, Progress
from ..resample import to_latent_grid
from ..video.clips import clips_of
from ..video.reader import probe
from ..warning import warn

CELL_PX = 320
CAPTION_LETTERS, CAPTION_LINES = 40, 4
HEAT_OPACITY = 0.7
SHOWN_FRAMES = 4
NO_FACE = "somebody without a face"


@dataclass(frozen=True, eq=False)
class WeightPreview:
    """picture_HWC: the heat map at the picture's size. statistics: grid, coverage (mean before), mean, least, most."""

    picture_HWC: np.ndarray
    statistics: dict[str, object]


def preview_weights(
    weights_HW: np.ndarray,
    settings: MaskLossSettings | None,
    stride_px: int,
    rgb_HWC: np.ndarray | None = None,
    opacity: float = HEAT_OPACITY,
) -> WeightPreview:
    """Weights (float32 in [0, 1]) as a model whose latent cells are `stride_px` wide would see them.

    `settings` are applied as in training; None leaves the weights as they are. The heat map lies over `rgb_HWC`, of the
    same size, when it is given, and then `opacity` in [0, 1] is its share. Raises ImageError when sizes differ.
    """
    height, width = weights_HW.shape
    grid = (max(1, height // stride_px), max(1, width // stride_px))
    raw_B1Thw = to_latent_grid(torch.from_numpy(weights_HW.astype(np.float32))[None, None, None], grid)
    used_hw = _loss_weights(raw_B1Thw, settings)[0]
    statistics = _statistics(raw_B1Thw, used_hw)
    if settings is not None:
        statistics["messages"] = [warn(idle) for idle in settings.settings_without_effect()]
    picture_HWC = add_weights_legend(heat_map(used_hw, (width, height), rgb_HWC, opacity), used_hw)
    return WeightPreview(picture_HWC, statistics)


def dataset_sheet(
    dataset: Dataset, columns: int, offset: int = 0, limit: int = 32, progress: Progress = SILENT
) -> np.ndarray:
    """A contact sheet of `limit` items from `offset` on, each under its weights; of a video the first and the
    middle frame of its longest clip.

    Where one person was kept the doubtful ones come first, those that were left out among them, with their faces'
    scores. DatasetError when there are none.
    """
    gone = {left.item.name: left.reason for left in dataset.left_out}
    everything = sorted(
        (*(left.item for left in dataset.left_out), *dataset.items),
        key=lambda item: (item.name not in gone, doubt(item.person)),
    )
    items = everything[offset : offset + limit]
    if not items:
        raise DatasetError(
            f"offset is {offset} and the dataset holds {len(everything)} items; there is nothing to show"
        )
    return _sheet(items, gone, columns, progress)


def masks_sheet(dataset: Dataset, report: Mapping[str, Any], columns: int, limit: int) -> np.ndarray:
    """A contact sheet of `limit` items whose masks were just built: those first in which somebody has no face, which is
    said, then those with the smallest one. `report` is `build_masks`'s. DatasetError when the dataset is empty."""
    rows = {row["name"]: row for row in report["items"]}
    faces = {name: row["tiers"]["face"] if "tiers" in row else 1.0 for name, row in rows.items()}
    faceless = {name: NO_FACE for name, row in rows.items() if row.get("faceless")}
    items = sorted(dataset.items, key=lambda item: (item.name not in faceless, faces[item.name]))[:limit]
    if not items:
        raise DatasetError("the dataset holds no items; there is nothing to show")
    return _sheet(items, {}, columns, SILENT, faceless)


def _sheet(
    items: Sequence[DatasetItem],
    gone: Mapping[str, str],
    columns: int,
    progress: Progress,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> np.ndarray:
    cells: list[tuple[np.ndarray, str]] = []
    levels = WeightLevels()
    for number, item in enumerate(items):
        progress.update(number, len(items), item.name)
        cell_HWC, caption = _dataset_cell(item, gone.get(item.name), levels)
        note = notes.get(item.name)
        cells.append((cell_HWC, caption if note is None else f"{caption}\n{note}"))
    progress.update(len(items), len(items))
    return add_scale_below(contact_sheet(cells, columns, CELL_PX), levels)


def cache_sheet(
    cache: LatentCache,
    settings: MaskLossSettings | None,
    offset: int = 0,
    limit: int = 32,
    columns: int = 4,
    progress: Progress = SILENT,
) -> tuple[np.ndarray, dict[str, object]]:
    """A contact sheet of cached entries under the weights that training uses, with a bar for each bucket of the whole
    cache, and {"items", "counts", "buckets"} about them. Of a clip some of its latent frames, in order.

    Raises CacheError when there is nothing at `offset` or a file is damaged.
    """
    entries = cache.entries[offset : offset + limit]
    if not entries:
        raise CacheError(
            f"offset is {offset} and the cache holds {len(cache.entries)} entries; there is nothing to show"
        )
    cells: list[tuple[np.ndarray, str]] = []
    rows: list[dict[str, object]] = []
    levels = WeightLevels()
    for number, entry in enumerate(entries):
        progress.update(number, len(entries), entry.name)
        weights_1Thw = cache.weights(entry)
        raw_B1Thw = torch.ones(1, 1, *entry.latent_shape[1:]) if weights_1Thw is None else weights_1Thw[None]
        used_Thw = _loss_weights(
            raw_B1Thw, settings if weights_1Thw is not None else None
        )  # without a mask all counts fully
        levels.add(used_Thw)
        statistics = _statistics(raw_B1Thw, used_Thw)
        rows.append({"name": entry.name, "origin": entry.origin.value, "repeats": entry.repeats, **statistics})
        cells.append((_cache_cell(cache, entry, used_Thw), _cache_caption(entry, statistics)))
    progress.update(len(entries), len(entries))
    kinds = Counter((entry.origin.value, entry.bucket) for entry in cache.entries)
    counts: Counter[str] = Counter()
    sizes: Counter[tuple[int, int]] = Counter()
    for (origin, bucket), number in kinds.items():
        counts[origin] += number
        sizes[bucket] += number
    buckets = {f"{width}x{height}": sizes[width, height] for width, height in sorted(sizes)}
    sheet_HWC = add_bars_below(add_scale_below(contact_sheet(cells, columns, CELL_PX), levels), buckets)
    return sheet_HWC, {"items": rows, "counts": {"entries": len(cache.entries), **counts}, "buckets": buckets}


def _loss_weights(raw_B1Thw: torch.Tensor, settings: MaskLossSettings | None) -> np.ndarray:
    weights_B1Thw = raw_B1Thw if settings is None else transform_weights(raw_B1Thw, settings)
    return weights_B1Thw[0, 0].numpy()


def _statistics(raw_B1Thw: torch.Tensor, used: np.ndarray) -> dict[str, object]:
    return {
        "grid": [int(used.shape[-1]), int(used.shape[-2])],
        "coverage": round(float(raw_B1Thw.mean()), 4),
        "mean": round(float(used.mean()), 4),
        "least": round(float(used.min()), 4),
        "most": round(float(used.max()), 4),
    }


def _dataset_cell(item: DatasetItem, left_out: str | None, levels: WeightLevels) -> tuple[np.ndarray, str]:
    if left_out is not None:
        # Nothing of its mask counts any more.
        bare = replace(item.settings, alpha_mask=False, require_mask=False)
        item = replace(item, mask_path=None, correction_path=None, settings=bare)
    shown = _clip_ends(item) if item.is_video else [load_item(item)]
    cell_HWC = side_by_side([_draw_weights(loaded) for loaded in shown], len(shown))
    lines = [item.name]
    for loaded in shown:
        if loaded.weights_HW is not None:
            levels.add(loaded.weights_HW)
    covered = [float(loaded.weights_HW.mean()) for loaded in shown if loaded.weights_HW is not None]
    if covered:
        lines.append(f"{shown[0].origin.value}, coverage {' and '.join(f'{share:.0%}' for share in covered)}")
    elif left_out is None:
        lines.append("has alpha, not used" if shown[0].unused_alpha else "no mask")
    if covered and shown[0].unused_alpha:
        lines.append("has alpha, not used")
    facts = mask_facts(item) if shown[0].origin is MaskOrigin.FILE else None
    if facts is not None and (facts.key or facts.note):
        lines.append(f"read by {facts.meaning.value}: {facts.layout}, {facts.lowest:g} to {facts.highest:g}")
        lines += textwrap.wrap(facts.note, CAPTION_LETTERS)[:CAPTION_LINES]
    if item.person is not None:
        if not item.is_video:  # a video's faces are those of another frame than those shown
            cell_HWC = face_overlay(cell_HWC, item.person, cell_HWC.shape[1] / shown[0].size[0])
        lines.append(f"{item.person.outcome.value}: {list_scores(item.person)}")
    if left_out is not None:
        lines += textwrap.wrap(left_out, CAPTION_LETTERS)[:CAPTION_LINES]
    return cell_HWC, "\n".join(lines)


def _clip_ends(item: DatasetItem) -> list[LoadedItem]:
    """The first and the middle frame of a video's longest clip; of one that gives none, its own middle frame."""
    clips = clips_of(probe(item.media_path).times, item.settings.video)
    if item.is_cut:
        clips = [clip for clip in clips if item.rectangle(clip) is not None]
    if not clips:
        return [load_still(item)]
    clip = max(clips, key=lambda clip: len(clip.frames))
    numbers = dict.fromkeys((clip.frames[0], clip.frames[len(clip.frames) // 2]))
    return [load_frame(item, number, item.rectangle(clip)) for number in numbers]


def _draw_weights(loaded: LoadedItem) -> np.ndarray:
    small_HWC = shrink(loaded.rgb_HWC, CELL_PX)
    if loaded.weights_HW is None:
        return small_HWC
    weights_HW = torch.from_numpy(loaded.weights_HW)[None, None, None]
    return weights_tint(small_HWC, to_latent_grid(weights_HW, small_HWC.shape[:2])[0, 0, 0].numpy())


def _cache_caption(entry: CacheEntry, statistics: dict[str, object]) -> str:
    if entry.origin is MaskOrigin.NONE:
        told = "no mask: counts fully"
    else:
        told = f"{entry.origin.value}, coverage {entry.coverage:.0%}, mean {statistics['mean']}"
    size = "" if entry.rectangle is None else f", crop of {entry.image_size[0]}x{entry.image_size[1]}"
    return f"{entry.name}\n{told}\n{entry.bucket[0]}x{entry.bucket[1]}{size}"


def _cache_cell(cache: LatentCache, entry: CacheEntry, used_Thw: np.ndarray) -> np.ndarray:
    frames = select_frames(entry, SHOWN_FRAMES)
    # The photograph is only the ground that the weights are drawn on; a cache stays usable without it.
    try:
        grounds: Sequence[np.ndarray | None] = source_pictures(cache, entry, frames)
    except (ImageError, OSError):
        grounds = [None] * len(frames)
    heats = [heat_map(used_Thw[frame], entry.bucket, ground) for frame, ground in zip(frames, grounds, strict=True)]
    return side_by_side(heats, 2)
