"""Which photographs have parts that were guessed, as Build Masks noted beside the masks that it wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..dataset.files import MASK_LEDGER
from ..dataset.items import DatasetItem
from ..files import read_text
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
            noted[directory] = _noted_approximate(directory / MASK_LEDGER)
        if item.whole_name in noted[directory]:
            found.add(item.name)
    return frozenset(found)


def _noted_approximate(ledger: Path) -> frozenset[str]:
    try:
        stored = json.loads(read_text(ledger))
        if stored["step"] != BUILD_MASKS:
            return frozenset()
        return frozenset(name for name, record in stored["items"].items() if record["details"].get("approximate"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # A mask directory that is not BuildMasks's own says nothing about how its masks were made.
        return frozenset()
