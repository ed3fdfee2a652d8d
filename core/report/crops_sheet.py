"""A contact sheet of photographs under their weights, with the rectangles of their crops. Pictures are uint8 RGB."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from ..dataset.items import Dataset, DatasetItem
from ..dataset.load import load_frame, load_item
from ..draw.lettering import RGB, draw_label
from ..draw.levels import WeightLevels
from ..draw.overlay import add_scale_below, weights_tint
from ..draw.sheet import contact_sheet, shrink
from ..masks.crop_report import CROPPED
from ..progress import SILENT, Progress
from ..resample import to_latent_grid
from ..video.clips import clips_of
from ..video.reader import probe
from .previews import dataset_sheet

CELL_PX = 320
_LETTERS_PX, _LINE_PX = 12, 3
_COLOURS: dict[str, RGB] = {"face": (34, 197, 94), "bust": (86, 180, 233)}

Row = Mapping[str, Any]


def crops_sheet(
    dataset: Dataset, report: Mapping[str, Any], columns: int, limit: int, progress: Progress = SILENT
) -> np.ndarray:
    """`limit` items of the dataset that was cropped, each with its crops, of a video the first clip that has one: first
    those of which a crop is left out, then those whose crops leave the most weight out. `report` is `crop_report`'s.
    Where nothing is left to crop, as in a shard of a dataset, what was left out; DatasetError where that is nothing."""
    if not dataset.items:
        return dataset_sheet(dataset, columns, limit=limit, progress=progress)
    rows: dict[str, list[Row]] = {item.name: [] for item in dataset.items}
    for row in report["items"]:
        rows[row["photograph"]].append(row)
    items = sorted(dataset.items, key=lambda item: _rank(rows[item.name]))[:limit]
    cells: list[tuple[np.ndarray, str]] = []
    levels = WeightLevels()
    for number, item in enumerate(items):
        progress.update(number, len(items), item.name)
        cells.append(_cell(item, rows[item.name], levels))
    progress.update(len(items), len(items))
    return add_scale_below(contact_sheet(cells, columns, CELL_PX), levels)


def _rank(rows: Sequence[Row]) -> tuple[bool, float]:
    return all(row["state"] == CROPPED for row in rows), -max((row.get("weight_lost", 1.0) for row in rows), default=0)


def _cell(item: DatasetItem, rows: Sequence[Row], levels: WeightLevels) -> tuple[np.ndarray, str]:
    shown = list(rows)
    if not item.is_video:
        loaded = load_item(item)
    else:
        clips = {clip.suffix: clip for clip in clips_of(probe(item.media_path).times, item.settings.video)}
        chosen = next((row["clip"] for row in rows if "rectangle" in row), next(iter(clips)))
        frames = clips[chosen].frames
        loaded = load_frame(item, frames[len(frames) // 2])
        shown = [row for row in rows if row.get("clip", chosen) == chosen]
    small_HWC = shrink(loaded.rgb_HWC, CELL_PX)
    if loaded.weights_HW is not None:
        levels.add(loaded.weights_HW)
        weights = torch.from_numpy(loaded.weights_HW)[None, None, None]
        small_HWC = weights_tint(small_HWC, to_latent_grid(weights, small_HWC.shape[:2])[0, 0, 0].numpy())
    picture = Image.fromarray(small_HWC)
    draw = ImageDraw.Draw(picture)
    lines = [item.name]
    for row in shown:
        if "rectangle" in row:
            scale = small_HWC.shape[1] / loaded.size[0]
            left, top, width, height = (side * scale for side in row["rectangle"])
            colour = _COLOURS[row["kind"]] if row["state"] == CROPPED else (220, 38, 38)
            draw.rectangle((left, top, left + width - 1, top + height - 1), outline=colour, width=_LINE_PX)
            draw_label(draw, (left, top), row["kind"], _LETTERS_PX, colour)
        lines.append(_line(row))
    return np.asarray(picture), "\n".join(lines)


def _line(row: Row) -> str:
    if row["state"] != CROPPED:
        return f"no {row['kind']}: {row['reason']}"
    _, _, width, height = row["rectangle"]
    return f"{row['kind']} {width}x{height}, {row['weight_lost']:.0%} of weight outside"
