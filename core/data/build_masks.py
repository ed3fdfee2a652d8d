"""Tiered weight masks for every photograph of a dataset, one at a time.

`_HW`, `_HWC` pixel grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..alpha import weights_to_uint8
from ..images import has_alpha, load_image, save_image
from ..parts.part_map import PartMap, PartSegmenter
from ..parts.tiers import TierWeights, weigh_parts
from ..progress import SILENT, Progress
from .files import hash_of
from .items import Dataset, DatasetItem
from .ledger import FileState, Ledger, Record, fingerprint_of, open_ledger, target_for

STEP = "BuildMasks"


def build_masks(
    dataset: Dataset,
    segmenter: PartSegmenter,
    tiers: TierWeights,
    output_directory: Path,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> tuple[Dataset, dict[str, object]]:
    """Write `<output_directory>/<name>.png` (8-bit, the photograph's size, exact tier values) for each item.

    An item that has a mask keeps it unless `overwrite`; so does a file there that this step did not write or that was
    edited since. Unchanged work is skipped. Returns the dataset with these masks, and the report {"items": [{"name",
    "state": written|unchanged|kept, "reason", "coverage", "tiers": {tier: share of the picture}, "approximate"}],
    "counts"}. Errors of reading, segmenting and writing name the photograph or the file.
    """
    targets = {item.name: target_for(item, output_directory) for item in dataset.items}
    items: list[DatasetItem] = []
    rows: list[dict[str, object]] = []
    with open_ledger(output_directory, STEP) as ledger:
        for number, item in enumerate(dataset.items):
            progress.update(number, len(dataset.items), item.name)
            target = targets[item.name]
            own = None if overwrite else _own_mask(item, target)
            if own is None:
                rows.append(_build(item, segmenter, tiers, target, ledger, overwrite))
                settings = replace(item.settings, alpha_mask=False)
                item = replace(item, mask_path=target, tiers_path=target, settings=settings)
            else:
                rows.append({"name": item.name, "state": "kept", "reason": own})
            items.append(item)
    progress.update(len(items), len(items))
    return Dataset(tuple(items), dataset.left_out), {"items": rows, "counts": _counts(rows)}


def _own_mask(item: DatasetItem, target: Path) -> str | None:
    """Why the item's own mask stays, or None when it has none (an all-opaque alpha is none)."""
    if item.mask_path is not None and item.mask_path.resolve() != target.resolve():
        return f"it has the mask {item.mask_path.name}"
    if item.settings.alpha_mask and has_alpha(item.media_path):
        alpha_HW = load_image(item.media_path)[1]
        if alpha_HW is not None and not (alpha_HW == 255).all():
            return "it has its mask in the alpha channel"
    return None


def _build(
    item: DatasetItem, segmenter: PartSegmenter, tiers: TierWeights, target: Path, ledger: Ledger, overwrite: bool
) -> dict[str, object]:
    fingerprint = fingerprint_of(STEP, hash_of(item.media_path), segmenter.identity, tiers)
    state = ledger.state(item.name, target, fingerprint)
    record = ledger.record(item.name)
    if state is FileState.UNCHANGED and record is not None:
        return {"name": item.name, "state": "unchanged", **record.details}
    if state in (FileState.EDITED, FileState.FOREIGN) and not overwrite:
        return {"name": item.name, "state": "kept", "reason": _kept_reason(state, record, fingerprint)}
    rgb_HWC = load_image(item.media_path)[0]
    parts = segmenter.segment(rgb_HWC)
    weights_HW = weigh_parts(tiers, parts)
    ledger.begin(item.name, fingerprint)
    save_image(target, weights_to_uint8(weights_HW))
    details = _details(parts, weights_HW)
    ledger.finish(item.name, fingerprint, target, details)
    return {"name": item.name, "state": "written", **details}


def _kept_reason(state: FileState, record: Record | None, fingerprint: str) -> str:
    if state is FileState.FOREIGN or record is None:
        return "a file lies there that this step did not write"
    same = record.fingerprint == fingerprint
    return "it was edited after it was written" + ("" if same else ", and the photograph or the settings changed since")


def _details(parts: PartMap, weights_HW: np.ndarray) -> Mapping[str, object]:
    shares = {
        tier: round(float(parts.mask(parts.scheme.tier_ids(tier)).mean()), 6) for tier in ("face", "hair", "body")
    }
    return {
        "coverage": round(float(weights_HW.mean(dtype=np.float64)), 6),
        "tiers": shares,
        "approximate": parts.approximate,
    }


def _counts(rows: list[dict[str, object]]) -> dict[str, int]:
    states = Counter(row["state"] for row in rows)
    return {"items": len(rows), **{state: states[state] for state in ("written", "unchanged", "kept")}}
