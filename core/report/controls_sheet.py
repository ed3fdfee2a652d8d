"""A contact sheet of photographs beside their control images, which an edit model is shown. Pictures are uint8 RGB."""

from __future__ import annotations

import numpy as np

from ..dataset.items import Dataset
from ..dataset.load import load_picture
from ..draw.sheet import contact_sheet, shrink
from ..images import load_image
from ..progress import SILENT, Progress
from .previews import dataset_sheet

CELL_PX = 320


def controls_sheet(dataset: Dataset, columns: int, limit: int, progress: Progress = SILENT) -> np.ndarray:
    """The first `limit` items that have control images, each photograph with these after it. Where none has, what
    `dataset_sheet` shows; DatasetError where that is nothing."""
    items = [item for item in dataset.items if item.controls][:limit]
    if not items:
        return dataset_sheet(dataset, columns, limit=limit, progress=progress)
    cells: list[tuple[np.ndarray, str]] = []
    for number, item in enumerate(items):
        progress.update(number, len(items), item.name)
        cells.append((shrink(load_picture(item), CELL_PX), item.name))
        for place, path in enumerate(item.controls):
            cells.append((shrink(load_image(path)[0], CELL_PX), f"{item.name}, control image {place}"))
    progress.update(len(items), len(items))
    return contact_sheet(cells, columns, CELL_PX)
