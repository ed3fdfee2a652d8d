"""Datasets that can be looked at in the viewer: those that nodes gave out in this process, by an id each.

Nothing else can be: what comes from a browser names a dataset and an item by their ids, never a file by its path.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..corrections.frames import notes_of
from ..corrections.store import CorrectionStore
from ..dataset.files import hash_of, status_of
from ..dataset.items import Dataset, DatasetItem, person_item_name
from ..errors import PathError
from ..fingerprints import fingerprint_of

MOST_DATASETS = 20
_DIGITS = 16


@dataclass(frozen=True, eq=False)
class ViewedItem:
    """A whole photograph or video of a dataset, as the dataset's node gave it out. `left_out`: why it is not trained
    on, empty where it is. `coverage`: the mean weight, where the node's report tells it. `faceless`: regions of people
    without a face."""

    id: str
    item: DatasetItem
    left_out: str = ""
    coverage: float | None = None
    faceless: int = 0


@dataclass(frozen=True, eq=False)
class ViewedDataset:
    """`items` in their order; `pictures` is where thumbnails and tiles are kept."""

    id: str
    title: str
    items: tuple[ViewedItem, ...]
    store: CorrectionStore
    pictures: Path
    _by_id: dict[str, ViewedItem] = field(default_factory=dict[str, ViewedItem])

    def __post_init__(self) -> None:
        self._by_id.update((each.id, each) for each in self.items)

    def find(self, identifier: str) -> ViewedItem | None:
        """The item of an id."""
        return self._by_id.get(identifier)

    def store_of(self, viewed: ViewedItem) -> CorrectionStore:
        """Where the item's corrections and marks are: those of its photograph, or of one person's item of it."""
        return self.store.of(viewed.item.subject)

    def corrected(self, viewed: ViewedItem) -> DatasetItem:
        """The item with the correction that there is now, unless that is another photograph's or video's."""
        item = replace(viewed.item, correction_path=None)
        path = self.store_of(viewed).find(item.media_path)
        if path is None:
            return item
        fits = all(note.photograph == photograph_hash(item.media_path) for note in notes_of(path))
        return replace(item, correction_path=path) if fits else item


def view_dataset(
    dataset: Dataset, title: str, rows: Sequence[Mapping[str, Any]], store: CorrectionStore, pictures: Path
) -> ViewedDataset:
    """A dataset as the viewer shows it: crops as the photographs that they are of, each once. `rows` are the items of
    the node's report, which may tell "name", "coverage" and "faceless"."""
    told = {str(row.get("name")): row for row in rows}
    found: OrderedDict[tuple[Path, str], ViewedItem] = OrderedDict()
    left = {(gone.item.media_path, gone.item.subject): gone.reason for gone in dataset.left_out}
    kept = {(item.media_path, item.subject) for item in dataset.items}
    for item in (*dataset.items, *(gone.item for gone in dataset.left_out)):
        key = item.media_path, item.subject
        if key in found:
            continue
        name = item.whole_name if not item.subject else person_item_name(item.whole_name, item.subject)
        whole = replace(item, name=name, crop=None, correction_path=None)
        row = told.get(whole.name, {})
        coverage = row.get("coverage")
        found[key] = ViewedItem(
            fingerprint_of(whole.name)[:_DIGITS],
            whole,
            "" if key in kept else left.get(key, ""),
            float(coverage) if isinstance(coverage, int | float) else None,
            int(row.get("faceless") or 0),
        )
    items = tuple(found.values())
    files = [(each.item.name, each.item.media_path, each.item.mask_path, each.left_out) for each in items]
    return ViewedDataset(fingerprint_of(title, *files)[:_DIGITS], title, items, store, pictures)


class ViewedDatasets:
    """The newest ones, for any number of threads."""

    def __init__(self, most: int = MOST_DATASETS) -> None:
        self._most = most
        self._kept: OrderedDict[str, ViewedDataset] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, viewed: ViewedDataset) -> str:
        """Its id, by which it is found until `most` others have come."""
        with self._lock:
            self._kept.pop(viewed.id, None)
            self._kept[viewed.id] = viewed
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return viewed.id

    def find(self, identifier: str) -> ViewedDataset | None:
        """The dataset of an id."""
        with self._lock:
            return self._kept.get(identifier)


VIEWED = ViewedDatasets()

_hashes: dict[tuple[Path, tuple[int, int]], str] = {}


def photograph_hash(path: Path) -> str:
    """The SHA-256 of a photograph, read once for as long as it stays in size and time of change. PathError when it
    cannot be read."""
    try:
        key = path, status_of(path)
    except OSError as error:
        raise PathError(f"{path} cannot be read ({error.strerror}); run the workflow again.") from error
    if key not in _hashes:
        _hashes[key] = hash_of(path)
    return _hashes[key]
