"""Control images for edit models, made from the dataset itself: each photograph with the person cut out of it.

`_HW`, `_HWC` pixel grid.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..dataset.files import check_case, hash_of
from ..dataset.items import Dataset, DatasetItem, MaskOrigin, crop_name
from ..dataset.load import expected_origin, load_item
from ..dataset.mask_facts import mask_digest
from ..errors import DatasetError, SettingError
from ..fingerprints import fingerprint_of
from ..first_names import first_names
from ..images import conversion_of, save_image
from ..progress import SILENT, Progress
from ..warning import warn
from .ledger import FileState, Ledger, open_ledger, target_for

STEP = "CutOut"
# What stands where the person was: a grey that no autoencoder finds odd.
_GREY = 128
_MOST_GROWN = 25.0
# With less of the scene left there is nothing to learn from.
_LEAST_LEFT = 0.02


class _State(str, Enum):
    WRITTEN = "written"
    UNCHANGED = "unchanged"
    KEPT = "kept"
    WITHOUT = "without"


@dataclass(frozen=True)
class CutOutRules:
    """The hole grows by `grow_percent` of the picture's longer side, so that no edge of the person is left; pixels
    count as the person's where their weight is above 0."""

    grow_percent: float = 1.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.grow_percent) and 0 <= self.grow_percent <= _MOST_GROWN):
            raise SettingError(f"grow_percent is {self.grow_percent}; it must be from 0 to {_MOST_GROWN:g}.")


def cut_out_person(
    dataset: Dataset,
    output_directory: Path,
    rules: CutOutRules | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> tuple[Dataset, dict[str, Any]]:
    """Write `<output_directory>/<name>.png`, the photograph with grey where the person is, and make it the first
    control image of every item of that photograph; those that it has come after it.

    Regularisation images get none. A file there that was edited is kept, any other that this step did not write is an
    error, unless `overwrite`. Unchanged work is skipped.

    Returns the dataset and the report {"items": [{"name", "state": written|unchanged|kept|without, "cut": share of the
    picture}], "counts", "messages"}. DatasetError names photographs without a mask, those of which nearly nothing is
    left, and videos.
    """
    rules = rules or CutOutRules()
    _check(dataset)
    wholes: dict[str, DatasetItem] = {}
    for item in dataset.items:
        if not item.regularisation:
            wholes.setdefault(_name(item), replace(item, name=_name(item), crop=None))
    check_case(wholes, output_directory)
    rows: list[dict[str, object]] = []
    targets: dict[str, Path] = {}
    with open_ledger(output_directory, STEP) as ledger:
        for number, (name, whole) in enumerate(wholes.items()):
            progress.update(number, len(wholes), name)
            targets[name] = target_for(whole, output_directory)
            rows.append({"name": name, **_cut_out(whole, targets[name], rules, overwrite, ledger)})
    progress.update(len(wholes), len(wholes))
    bare = [item.name for item in dataset.items if item.regularisation]
    for name in bare:
        rows.append({"name": name, "state": _State.WITHOUT.value})
    items = tuple(item if item.regularisation else _with_control(item, targets[_name(item)]) for item in dataset.items)
    return replace(dataset, items=items), _report(rows)


def _check(dataset: Dataset) -> None:
    items = [item for item in dataset.items if not item.regularisation]
    if videos := [item.name for item in items if item.is_video]:
        raise DatasetError(
            f"{len(videos)} items are videos ({first_names(videos)}), and control images are for photographs; leave "
            "them out."
        )
    bare = [item.name for item in items if expected_origin(item) is MaskOrigin.NONE]
    if bare:
        raise DatasetError(
            f"{len(bare)} photographs have no mask ({first_names(bare)}), so it is not known what to cut out of them; "
            "connect MaskLossDatasetBuildMasks and MaskLossDatasetKeepPerson before this."
        )


def _name(item: DatasetItem) -> str:
    """That of all its crops."""
    return item.name if item.crop is None else item.name.removesuffix(crop_name("", item.crop.kind))


def _with_control(item: DatasetItem, target: Path) -> DatasetItem:
    return replace(item, control_path=target, more_controls=item.controls, wants_control=True)


def _cut_out(item: DatasetItem, target: Path, rules: CutOutRules, overwrite: bool, ledger: Ledger) -> dict[str, object]:
    fingerprint = fingerprint_of(
        STEP, hash_of(item.media_path), item.settings.alpha_mask,
        mask_digest(item, item.mask_path, item.mask_meaning), rules.grow_percent, *conversion_of(item.media_path),
        *(() if item.correction_path is None else (f"correction {hash_of(item.correction_path)}",)),
    )  # fmt: skip
    state, record = ledger.state(item.name, target, fingerprint), ledger.record(item.name)
    if record is not None and state in (FileState.UNCHANGED, FileState.EDITED) and not overwrite:
        kept = _State.UNCHANGED if state is FileState.UNCHANGED else _State.KEPT
        return {"state": kept.value, **record.details}
    if state is FileState.FOREIGN and not overwrite:
        raise DatasetError(
            f"{target} is there already and was not written by {STEP}; set overwrite, or choose another "
            "output_directory."
        )
    rgb_HWC, cut = cut_out(item, rules)
    ledger.begin(item.name, fingerprint)
    save_image(target, rgb_HWC)
    details: dict[str, object] = {"cut": round(cut, 4)}
    ledger.finish(item.name, fingerprint, target, details)
    return {"state": _State.WRITTEN.value, **details}


def cut_out(item: DatasetItem, rules: CutOutRules) -> tuple[np.ndarray, float]:
    """A photograph with grey where its weight is above 0, uint8 RGB of its own size, and the share of it that is gone.
    DatasetError where nearly all of it would be."""
    loaded = load_item(item)
    person_HW = (loaded.full_weights_HW > 0).astype(np.uint8)
    radius = round(max(loaded.size) * rules.grow_percent / 100)
    if radius and person_HW.any():
        person_HW = cv2.dilate(person_HW, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2))
    cut = float(person_HW.mean(dtype=np.float64))
    if cut > 1 - _LEAST_LEFT:
        raise DatasetError(
            f"The mask of {item.name} covers {cut:.0%} of it, so nearly nothing of the scene would be left; lower "
            "grow_percent, set background_weight to 0 in MaskLossDatasetBuildMasks, or leave the photograph out."
        )
    return np.where(person_HW[..., None] > 0, np.uint8(_GREY), loaded.rgb_HWC), cut


def _report(rows: list[dict[str, object]]) -> dict[str, Any]:
    states = Counter(row["state"] for row in rows)
    counts = {"items": len(rows), **{state.value: states[state.value] for state in _State}}
    messages = [f"Cut out: {states['written']} written, {states['unchanged']} unchanged."]
    if edited := [str(row["name"]) for row in rows if row["state"] == _State.KEPT.value]:
        messages.append(
            warn(f"{len(edited)} control images were edited by hand and are kept as they are: {first_names(edited)}.")
        )
    if empty := [str(row["name"]) for row in rows if row.get("cut") == 0]:
        messages.append(
            warn(f"{len(empty)} masks are black, so nothing is cut out of their photographs: {first_names(empty)}.")
        )
    if bare := states[_State.WITHOUT.value]:
        messages.append(f"{bare} regularisation images get no control image and are trained from text alone.")
    return {"items": rows, "counts": counts, "messages": messages}
