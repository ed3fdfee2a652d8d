"""Contact sheets of several people's items: one for each person, one of everyone together, one of what shows nobody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..dataset.items import Dataset, DatasetItem
from ..people.people import TOGETHER
from .previews import dataset_sheet


def people_sheets(dataset: Dataset, names: Sequence[str], columns: int, limit: int) -> list[np.ndarray]:
    """A sheet for each person who has items, in the order of `names`, of at most `limit` of them, doubtful ones first;
    then those of photographs with several together, and those in which nobody is. uint8 RGB."""
    sheets: list[np.ndarray] = []
    for name in (*names, TOGETHER, ""):
        own = _of(dataset, name)
        if own.items or own.left_out:
            sheets.append(dataset_sheet(own, columns, limit=limit))
    return sheets


def _of(dataset: Dataset, name: str) -> Dataset:
    def is_own(item: DatasetItem) -> bool:
        return item.subject == name

    items = tuple(item for item in dataset.items if is_own(item))
    return Dataset(items, tuple(left for left in dataset.left_out if is_own(left.item)))
