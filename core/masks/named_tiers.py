"""The values that a dataset's masks are made of, by the names of their tiers: what a legend says."""

from __future__ import annotations

from collections.abc import Iterable

from ..dataset.items import DatasetItem
from ..dataset.mask_facts import noted_tiers
from ..parts.tiers import TierWeights
from .build_masks import STEP
from .part_values import KnownTiers


def named_tiers(items: Iterable[DatasetItem]) -> dict[str, int]:
    """{"face", "hair", "body", "background"}, 0 to 255: those of the first item whose ledger tells, else the usual
    ones."""
    usual = TierWeights()
    named = {"face": usual.face, "hair": usual.hair, "body": usual.body, "background": usual.background}
    known = KnownTiers(STEP)
    for item in items:
        tiers, path = known.of(item), item.tiers_path or item.mask_path
        if tiers is None or path is None:
            continue
        told = {"face": tiers.face, "hair": tiers.hair, "background": tiers.background}
        named.update((name, value) for name, value in told.items() if value is not None)
        others = [value for value in noted_tiers(path.parent) if value not in told.values()]
        if len(others) == 1:
            named["body"] = others[0]
        break
    return named
