"""Which value of a mask is face, hair and background: as Build Masks noted beside it, or the usual ones.

`_HW` pixel grid, uint8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset.files import MASK_LEDGER
from ..dataset.items import DatasetItem
from ..dataset.ledger_records import Record, records_in
from ..parts.tiers import TierWeights

PART_VALUES = "part_values"
"""What Build Masks notes of a mask: {"face", "hair", "background"}, 0 to 255; None for one of several parts."""

_USUAL = TierWeights()


@dataclass(frozen=True)
class Tiers:
    """The values of face and hair in a mask, None where they tell nothing, and that of the background. `noted`: Build
    Masks says so; else they are the usual ones."""

    face: int | None
    hair: int | None
    background: int
    noted: bool

    @classmethod
    def of(cls, stored: Any) -> Tiers | None:
        """What Build Masks noted; None where it is something else."""
        if not isinstance(stored, dict):
            return None
        face, hair, background = (stored.get(name) for name in ("face", "hair", "background"))
        if not all(value is None or isinstance(value, int) for value in (face, hair)) or not isinstance(
            background, int
        ):
            return None
        return cls(face, hair, background, noted=True)


def part_values(tiers: TierWeights) -> dict[str, int | None]:
    """What is noted of a mask with these tiers."""
    named = {"face": tiers.face, "hair": tiers.hair, "body": tiers.body, "background": tiers.background}
    values = [*named.values(), *(value for _, value in tiers.classes)]
    told = {name: named[name] if values.count(named[name]) == 1 else None for name in ("face", "hair")}
    return {**told, "background": tiers.background}


class KnownTiers:
    """The tiers of masks by what Build Masks, under the name `step`, noted in the folders they lie in; each ledger is
    read once."""

    def __init__(self, step: str) -> None:
        self._step = step
        self._ledgers: dict[Path, Mapping[str, Record]] = {}

    def of(self, item: DatasetItem) -> Tiers | None:
        """Those of the mask of everyone in the item; None where nothing is noted."""
        path = item.tiers_path or item.mask_path
        for folder in () if path is None else path.parents:
            if folder not in self._ledgers:
                self._ledgers[folder] = records_in(folder, self._step) if (folder / MASK_LEDGER).exists() else {}
            records = self._ledgers[folder]
            if records and path is not None:
                # A merged dataset has other names than the ledger; that of a very long name is another file's.
                name = path.relative_to(folder).with_suffix("").as_posix()
                record = records.get(name) or records.get(item.whole_name)
                return None if record is None else Tiers.of(record.details.get(PART_VALUES))
        return None


def usual_tiers(mask_HW: np.ndarray) -> Tiers | None:
    """The usual tiers where the mask holds nothing but them, faces and something beside a face; else None."""
    found = set(np.unique(mask_HW).tolist())
    others = {_USUAL.hair, _USUAL.body}
    if not found <= {_USUAL.face, *others, _USUAL.background} or _USUAL.face not in found or not found & others:
        return None
    return Tiers(_USUAL.face, _USUAL.hair, _USUAL.background, noted=False)
