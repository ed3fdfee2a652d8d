"""The work of keeping people on one item: what is there already is found out, and what is missing is made.

`_HW` pixel grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..alpha import weights_to_uint8
from ..dataset.items import DatasetItem
from ..dataset.ledger_records import Record
from ..dataset.load import LoadedItem, check_required, load_item
from ..dataset.person_paint import PersonPaint
from ..errors import DatasetError
from ..images import save_image
from ..mask_meaning import MaskMeaning
from ..people.decision import Outcome, PersonDecision
from ..progress import check_interrupted
from .each_item import Advance
from .keeping_unit import STEP, Shared, Unit, units_of, with_mask
from .known_hair import read_seen_hair
from .person_report import ABSENT, LEFT_OUT, PersonRow, decision_from_json
from .person_search import read_instance
from .person_weights import weights_of_one, weights_together, with_own_weights
from .video_person import Cut, cut_weights, read_coverage, write_people

_FOLLOWING = 1  # raise when a video could give other masks
_NOBODY = (Outcome.SKIPPED, Outcome.ABSENT)


@dataclass(frozen=True, eq=False)
class Kept:
    """A mask that was made, or why there is none. `person`, `sum` … are what the ledger notes."""

    decision: PersonDecision | None
    area: float
    coverage: float
    is_written: bool
    more: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def details(self) -> dict[str, object]:
        """What the ledger notes of it."""
        decision = None if self.decision is None else self.decision.to_json()
        return {"decision": decision, "area": self.area, "coverage": self.coverage, **self.more}


class Keeping:
    """The work on one photograph. `also` are settings that its masks depend on."""

    def __init__(self, item: DatasetItem, shared: Shared, *also: object) -> None:
        self._item, self._shared = item, shared
        self._units = units_of(item, shared, *also)
        self._people = [unit for unit in self._units if unit.person is not None]

    def run(self) -> list[PersonRow]:
        """Make the masks, or find that there is nothing to do: a row for each person, and one for all together where
        that is asked for."""
        rows, pending = self._sort()
        if pending:
            for unit, kept in self._make(pending):
                rows[unit.name] = self._row(unit, "written", self._finish(unit, kept))
        return [rows[unit.name] for unit in self._units]

    def look(self) -> list[PersonRow] | None:
        """The same rows where nothing is to be made; None where something is."""
        rows, pending = self._sort()
        return None if pending else [rows[unit.name] for unit in self._units]

    def _sort(self) -> tuple[dict[str, PersonRow], list[Unit]]:
        """The rows of what is there already, and what is to be made."""
        rows: dict[str, PersonRow] = {}
        pending: list[Unit] = []
        for unit in self._units:
            record = self._shared.ledger.record(unit.name)
            if unit.by_hand:
                rows[unit.name] = self._drawn_by_hand(unit, record)
            elif record is not None and unit.is_done(self._shared.instances):
                rows[unit.name] = self._row(unit, "unchanged", record.details)
            else:
                pending.append(unit)
        return rows, pending

    def _drawn_by_hand(self, unit: Unit, record: Record | None) -> PersonRow:
        if record is None or record.fingerprint not in (unit.fingerprint, unit.without_hair):
            raise DatasetError(
                f"{unit.target} was not written for this person, photograph and setting by {STEP}; check it, then "
                "move it away, choose another output_directory or set overwrite."
            )
        area, coverage = self._read_coverage(unit)
        row = PersonRow(unit.name, "kept", None, "the mask was drawn or edited by hand", area, coverage)
        return replace(row, **self._who(unit, record.details))

    def _read_coverage(self, unit: Unit) -> tuple[float, float]:
        """Of the mask that lies at the target: the fraction that has any weight, and the mean weight."""
        bare = replace(self._item, correction_path=None)
        mask_HW = np.asarray(load_item(with_mask(bare, unit.target, None, by_hand=True)).weights_HW)
        return float((mask_HW > 0).mean()), float(mask_HW.mean(dtype=np.float64))

    def _make(self, pending: Sequence[Unit]) -> Iterator[tuple[Unit, Kept]]:
        """Find everyone, and write the masks of `pending`; what the ledger is to note of each comes after it."""
        # What was corrected by hand lies over the one person's result; of several it is cut with the mask it lies over.
        several = self._shared.several
        loaded = load_item(self._item if several else replace(self._item, correction_path=None))
        check_interrupted()
        found = self._find(loaded)
        weights = [loaded.full_weights_HW] * len(found)
        if several is not None:
            tiers = several.tiers.get(self._item.name)
            weights = [
                with_own_weights(weights_HW, person.weights, tiers, person.name, self._item.name)
                for weights_HW, person in zip(weights, several.people, strict=True)
            ]
        instances = [instance_HW for instance_HW, _ in found]
        margins_px, others = self._shared.margins_px, 0 if several is None else several.others_weight
        for unit in pending:
            check_interrupted()
            if unit.person is None:
                there = _present([decision for _, decision in found])
                if len(there) < 2:
                    yield unit, Kept(None, 0.0, 0.0, False, {"together": []})
                    continue
                kept_HW = weights_together(weights, instances, margins_px, self._painted(there))
                area = float(np.any(instances, axis=0).mean())
                yield unit, self._save(unit, kept_HW, None, area, {"together": there})
                continue
            instance_HW, decision = found[unit.person]
            nobody = decision is not None and decision.outcome in _NOBODY
            if unit.given is None:
                self._shared.instances.write(unit.item, unit.sought, None if nobody else instance_HW)
            if nobody:
                yield unit, Kept(decision, 0.0, 0.0, False)
                continue
            kept_HW = weights_of_one(weights, instances, unit.person, margins_px, others)
            yield unit, self._save(unit, kept_HW, decision, float(instance_HW.mean()))

    def _find(self, loaded: LoadedItem) -> list[tuple[np.ndarray, PersonDecision | None]]:
        """Each person's mask (bool), and the decision, None where the mask was given."""
        found: list[tuple[np.ndarray, PersonDecision | None]] = []
        if any(unit.given is None for unit in self._people):
            hair = self._shared.hair_of(self._item)
            seen = None if hair is None else read_seen_hair(self._item, hair, loaded.size)
            names = [unit.name for unit in self._people]
            found += self._shared.search.run(self._item, names, loaded.rgb_HWC, seen)
        else:
            nobody_HW = np.zeros(loaded.rgb_HWC.shape[:2], np.bool_)
            found += [(nobody_HW, None) for _ in self._people]
        for person, unit in enumerate(self._people):
            if unit.given is not None:
                found[person] = read_instance(unit.given, self._item, loaded.size), None
        return found

    def _painted(self, there: Sequence[int]) -> dict[int, PersonPaint]:
        """What was painted by hand over the items of those who are in the picture."""
        several = () if self._shared.several is None else self._shared.several.people
        return {person: PersonPaint(self._item, several[person].name) for person in there if several}

    def _save(
        self,
        unit: Unit,
        kept_HW: np.ndarray,
        decision: PersonDecision | None,
        area: float,
        more: Mapping[str, object] | None = None,
    ) -> Kept:
        self._shared.ledger.begin(unit.name, unit.fingerprint)
        save_image(unit.target, weights_to_uint8(kept_HW))
        return Kept(decision, area, float(kept_HW.mean(dtype=np.float64)), True, more or {})

    def _finish(self, unit: Unit, kept: Kept) -> Mapping[str, object]:
        if not kept.is_written:
            # A mask from an earlier search would show somebody else, or the person by chance: it goes.
            unit.target.unlink(missing_ok=True)
        target = unit.target if kept.is_written else None
        self._shared.ledger.finish(unit.name, unit.fingerprint, target, kept.details)
        return kept.details

    def _who(self, unit: Unit, details: Mapping[str, Any]) -> dict[str, Any]:
        several = self._shared.several
        if several is None:
            return {}
        if unit.person is not None:
            return {"people": (several.people[unit.person].name,)}
        return {"people": tuple(several.people[n].name for n in details.get("together", ())), "together": True}

    def _row(self, unit: Unit, state: str, details: Mapping[str, Any]) -> PersonRow:
        stored = details["decision"]
        decision = None if stored is None else decision_from_json(stored)
        reason = "the instance mask was given" if decision is None else decision.reason
        who = self._who(unit, details)
        if unit.person is None:
            reason = f"{len(who['people'])} people together"
            state = state if who["people"] else ABSENT
        elif decision is not None and decision.outcome in _NOBODY:
            state = LEFT_OUT if decision.outcome is Outcome.SKIPPED else ABSENT
        row = PersonRow(unit.name, state, decision, reason, details["area"], details["coverage"], details.get("video"))
        return replace(row, **who)


def _present(decisions: Sequence[PersonDecision | None]) -> list[int]:
    """The people who are in a picture, from left to right; those whose masks were given last."""
    there = [
        (_left(decision), person)
        for person, decision in enumerate(decisions)
        if decision is None or _is_there(decision)
    ]
    return [person for _, person in sorted(there)]


def _is_there(decision: PersonDecision) -> bool:
    return decision.chosen is not None


def _left(decision: PersonDecision | None) -> float:
    return next((face.box[0] for face in decision.faces if face.chosen), np.inf) if decision else np.inf


class KeepingInVideo(Keeping):
    """The work on one video: where each person is goes to a mask video first, then the weights are cut by these."""

    def __init__(self, item: DatasetItem, shared: Shared, advance: Advance) -> None:
        super().__init__(item, shared, _FOLLOWING, shared.video_every)
        self._advance = advance

    def _read_coverage(self, unit: Unit) -> tuple[float, float]:
        return read_coverage(self._item, unit.target)

    def _make(self, pending: Sequence[Unit]) -> Iterator[tuple[Unit, Kept]]:
        # As of photographs, what was corrected by hand lies over the one person's result.
        shared = self._shared
        item = self._item if shared.several else replace(self._item, correction_path=None)
        check_required(item)
        with TemporaryDirectory() as scratch:
            paths = [Path(scratch, f"person{person}.mkv") for person in range(len(self._people))]
            found: list[tuple[PersonDecision, dict[str, int]]] = []
            if any(unit.given is None for unit in self._people):
                found = write_people(
                    item, shared.search, paths, shared.video_every, shared.workers, self._advance, shared.hair_of(item)
                )
            decisions = [None if unit.given else found[person][0] for person, unit in enumerate(self._people)]
            masks = [
                (unit.given, item.settings.mask_meaning) if unit.given
                else (None if decision and decision.outcome in _NOBODY else path, MaskMeaning.BRIGHTNESS)
                for unit, path, decision in zip(self._people, paths, decisions, strict=True)
            ]  # fmt: skip
            for unit in pending:
                there = _present(decisions)
                more: dict[str, object] = {"together": there if len(there) > 1 else []} if unit.person is None else {}
                decision = None if unit.person is None else decisions[unit.person]
                if unit.person is not None and unit.given is None:
                    more["video"] = found[unit.person][1]
                    path = masks[unit.person][0]
                    if path is None:
                        shared.instances.write(unit.item, unit.sought, None)
                        yield unit, Kept(decision, 0.0, 0.0, False, more)
                        continue
                    shared.instances.write_video(unit.item, unit.sought, path)
                if more.get("together") == []:
                    yield unit, Kept(None, 0.0, 0.0, False, more)
                    continue
                shared.ledger.begin(unit.name, unit.fingerprint)
                painted = self._painted(there) if unit.person is None else {}
                cut = Cut(masks, unit.person, shared.margins_px, shared.several, painted)
                area, coverage = cut_weights(item, cut, unit.target)
                decision = None if decision is None else replace(decision, area=area)
                yield unit, Kept(decision, area, coverage, True, more)
