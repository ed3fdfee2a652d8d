"""Masks that people edited in folders that a step filled with other settings: their work goes on counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..dataset.items import DatasetItem
from ..dataset.ledger_records import Record, records_in
from ..files import sha256_file
from .ledger import target_for


class EarlierMasks:
    """The directories that `step` filled before, for any number of threads."""

    def __init__(self, directories: Sequence[Path], step: str) -> None:
        self._records: dict[Path, Mapping[str, Record]] = {each: records_in(each, step) for each in directories}

    def find_edit(self, item: DatasetItem, photograph: str) -> Path | None:
        """The mask of `item` that was edited since it was written for a file with the hash `photograph`; of several the
        one that was edited last."""
        found: list[tuple[int, Path]] = []
        for directory, records in self._records.items():
            record, path = records.get(item.name), target_for(item, directory)
            if record is None or record.details.get("photograph") != photograph or not path.is_file():
                continue
            if sha256_file(path) != record.sha256:
                found.append((path.stat().st_mtime_ns, path))
        return max(found)[1] if found else None
