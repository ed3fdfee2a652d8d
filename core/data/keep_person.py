"""Only the one person keeps weight: everyone else's pixels become 0, photograph by photograph.

It fails closed. A photograph in which the person cannot be told apart is left out, emptied or an error, as the rules
say; it never keeps everyone. `_HW` pixel grid.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..alpha import weights_to_uint8
from ..errors import DatasetError, SettingError
from ..images import save_image
from ..people.faces import FaceRecognizer
from ..people.identity import Identity, MatchRules, Outcome, PersonDecision
from ..people.instances import PersonSegmenter, apply_instance
from ..progress import SILENT, Progress
from .files import hash_of
from .items import Dataset, DatasetItem, LeftOut
from .ledger import FileState, Ledger, Record, fingerprint_of, open_ledger, target_for
from .load import load_item
from .person_report import LEFT_OUT, PersonRow, decision_from_json, person_report
from .person_search import InstanceMasks, PersonSearch, open_instances, read_instance

STEP = "KeepPerson"


def keep_person(
    dataset: Dataset,
    recognizer: FaceRecognizer,
    identity: Identity | None,
    person_segmenter: PersonSegmenter,
    rules: MatchRules,
    output_directory: Path,
    dilate_px: int = 0,
    feather_px: int = 0,
    instance_directory: Path | None = None,
    overwrite: bool = False,
    choices: Mapping[str, int] = MappingProxyType({}),
    progress: Progress = SILENT,
) -> tuple[Dataset, dict[str, object]]:
    """Write `<output_directory>/<name>.png`, the weights where the person is and 0 elsewhere, for every item.

    An item without a mask counts fully where the person is. `choices` maps an item's name to the number of the face to
    keep. Binary masks of the person are written to `instance_directory`; one that someone put or edited there is used
    as it is. Unchanged work is skipped.

    Returns the dataset without the items that are left out (they are in `left_out`), and the report {"items": [{"name",
    "state": written|unchanged|kept|left out, "faces", "decision", "reason", "area", "coverage"}], left-out ones first,
    "counts", "text"}. PersonError names the photograph; SettingError and DatasetError say what does not fit.
    """
    _check(dataset, output_directory, instance_directory, choices)
    search = PersonSearch(recognizer, identity, person_segmenter, rules, choices)
    items: list[DatasetItem] = []
    left_out: list[LeftOut] = []
    rows: list[PersonRow] = []
    with open_ledger(output_directory, STEP) as ledger, open_instances(instance_directory) as instances:
        for number, item in enumerate(dataset.items):
            progress.update(number, len(dataset.items), item.name)
            target = target_for(item, output_directory)
            row = _Keeping(item, target, search, ledger, instances, (dilate_px, feather_px), overwrite).run()
            rows.append(row)
            if row.state == LEFT_OUT:
                left_out.append(LeftOut(replace(item, person=row.decision), row.reason))
            else:
                items.append(_with_mask(item, target, row.decision))
    progress.update(len(rows), len(rows))
    return Dataset(tuple(items), dataset.left_out + tuple(left_out)), person_report(rows)


class _Keeping:
    """The work on one photograph."""

    def __init__(
        self, item: DatasetItem, target: Path, search: PersonSearch, ledger: Ledger, instances: InstanceMasks,
        margins_px: tuple[int, int], overwrite: bool,
    ) -> None:  # fmt: skip
        self._item, self._target, self._search = item, target, search
        self._ledger, self._instances, self._margins_px = ledger, instances, margins_px
        self._sought = search.fingerprint(item)
        self._given = instances.given(item, self._sought)
        self._fingerprint = fingerprint_of(
            STEP, self._sought if self._given is None else hash_of(self._given), hash_of(item.media_path),
            item.settings.alpha_mask, "" if item.mask_path is None else hash_of(item.mask_path), margins_px,
        )  # fmt: skip
        self._state = ledger.state(item.name, target, self._fingerprint)
        self._by_hand = self._state in (FileState.EDITED, FileState.FOREIGN) and not overwrite

    def run(self) -> PersonRow:
        """Make the mask, or find that there is nothing to do."""
        record = self._ledger.record(self._item.name)
        if self._by_hand:
            return self._drawn_by_hand(record)
        current = self._state is FileState.UNCHANGED and self._instances.is_current(self._item, self._sought)
        if current and record is not None:
            return self._row("unchanged", record.details)
        return self._row("written", self._make())

    def _drawn_by_hand(self, record: Record | None) -> PersonRow:
        if record is None or record.fingerprint != self._fingerprint:
            raise DatasetError(
                f"{self._target} was not written for this person, photograph and setting by {STEP}; check it, then "
                "move it away, choose another output_directory or set overwrite."
            )
        mask_HW = np.asarray(load_item(_with_mask(self._item, self._target, None)).weights_HW)
        share, coverage = float((mask_HW > 0).mean()), float(mask_HW.mean(dtype=np.float64))
        return PersonRow(self._item.name, "kept", None, "the mask was drawn or edited by hand", share, coverage)

    def _make(self) -> dict[str, object]:
        loaded = load_item(self._item)
        decision: PersonDecision | None = None
        if self._given is not None:
            instance_HW = read_instance(self._given, self._item, loaded.size)
        else:
            instance_HW, decision = self._search.run(self._item.name, loaded.rgb_HWC)
            skipped = decision.outcome is Outcome.SKIPPED
            self._instances.write(self._item, self._sought, None if skipped else instance_HW)
            if skipped:
                return self._forget(decision)
        weights_HW = np.ones(instance_HW.shape, np.float32) if loaded.weights_HW is None else loaded.weights_HW
        kept_HW = apply_instance(weights_HW, instance_HW, *self._margins_px)
        self._ledger.begin(self._item.name, self._fingerprint)
        save_image(self._target, weights_to_uint8(kept_HW))
        details: dict[str, object] = {
            "decision": None if decision is None else decision.to_json(),
            "area": float(instance_HW.mean()),
            "coverage": float(kept_HW.mean(dtype=np.float64)),
        }
        self._ledger.finish(self._item.name, self._fingerprint, self._target, details)
        return details

    def _forget(self, decision: PersonDecision) -> dict[str, object]:
        # A mask from an earlier search would show somebody else, or the person by chance: it goes.
        self._target.unlink(missing_ok=True)
        details: dict[str, object] = {"decision": decision.to_json(), "area": 0.0, "coverage": 0.0}
        self._ledger.finish(self._item.name, self._fingerprint, None, details)
        return details

    def _row(self, state: str, details: Mapping[str, Any]) -> PersonRow:
        stored = details["decision"]
        decision = None if stored is None else decision_from_json(stored)
        reason = "the instance mask was given" if decision is None else decision.reason
        if decision is not None and decision.outcome is Outcome.SKIPPED:
            state = LEFT_OUT
        return PersonRow(self._item.name, state, decision, reason, details["area"], details["coverage"])


def _with_mask(item: DatasetItem, target: Path, decision: PersonDecision | None) -> DatasetItem:
    settings = replace(item.settings, alpha_mask=False)
    return replace(item, mask_path=target, tiers_path=item.mask_path, person=decision, settings=settings)


def _check(
    dataset: Dataset, output_directory: Path, instance_directory: Path | None, choices: Mapping[str, int]
) -> None:
    names = [item.name for item in dataset.items]
    for name in choices:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise SettingError(
                f"choices names {name!r}, which is no item of the dataset; did you mean {', '.join(map(repr, near))}?"
            )
    if instance_directory is not None and instance_directory.resolve() == output_directory.resolve():
        raise SettingError(f"instance_directory and output_directory are both {output_directory}; give two folders.")
    for item in dataset.items:
        target = target_for(item, output_directory)
        if instance_directory is not None:
            target_for(item, instance_directory)
        if item.mask_path is not None and item.mask_path.resolve() == target.resolve():
            raise DatasetError(
                f"The mask of everyone in {item.name} lies at {target}, where that of the one person would go; "
                "choose another output_directory."
            )
