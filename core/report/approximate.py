"""Which photographs have parts that were guessed, as Build Masks noted beside the masks that it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..dataset.items import DatasetItem
from ..dataset.ledger_records import stored_in
from ..masks.build_masks import STEP as BUILD_MASKS


def approximate_names(items: Sequence[DatasetItem]) -> frozenset[str]:
    """The items whose parts were guessed, as BuildMasks noted beside the masks it wrote."""
    noted: dict[Path, frozenset[str]] = {}
    found: set[str] = set()
    for item in items:
        path = item.tiers_path or item.mask_path
        parts = PurePosixPath(item.whole_name).parts
        depth = len(parts)
        if path is None or path.with_suffix("").parts[-depth:] != parts:
            continue
        directory = path.parents[depth - 1]
        if directory not in noted:
            noted[directory] = _noted_approximate(directory)
        if item.whole_name in noted[directory]:
            found.add(item.name)
    return frozenset(found)


def _noted_approximate(directory: Path) -> frozenset[str]:
    try:
        stored = stored_in(directory, BUILD_MASKS)
        return frozenset(name for name, record in stored if record["details"].get("approximate"))
    except (KeyError, TypeError, AttributeError):
        return frozenset()  # of an earlier or a later version
