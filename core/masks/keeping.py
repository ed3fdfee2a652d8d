"""The work of keeping one person on one item: what is there already is found out, and what is missing is made.

`_HW` pixel grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..alpha import weights_to_uint8
from ..dataset.files import hash_of
from ..dataset.items import DatasetItem
from ..dataset.load import check_required, load_item
from ..dataset.mask_facts import mask_digest
from ..errors import DatasetError
from ..fingerprints import fingerprint_of
from ..images import save_image
from ..mask_meaning import MaskMeaning
from ..people.identity import Outcome, PersonDecision
from ..people.instances import apply_instance
from .each_item import Advance
from .known_hair import read_seen_hair
from .ledger import FileState, Ledger, Record
from .person_report import LEFT_OUT, PersonRow, decision_from_json
from .person_search import InstanceMasks, PersonSearch, read_instance
from .video_person import cut_weights, read_coverage, write_person

STEP = "KeepPerson"
_FOLLOWING = 1  # raise when a video could give other masks
_OWN_HAIR = 1  # raise when other hair could be taken for the person's


def with_mask(item: DatasetItem, target: Path, decision: PersonDecision | None, by_hand: bool = False) -> DatasetItem:
    """The item with the mask of the one person; the mask of everyone stays known as its tiers. `by_hand`: somebody else
    wrote or changed the file, so that it may be of any kind."""
    return replace(
        item,
        mask_path=target,
        mask_meaning=MaskMeaning.AUTO if by_hand else MaskMeaning.BRIGHTNESS,
        tiers_path=item.mask_path,
        tiers_meaning=item.mask_meaning,
        person=decision,
        settings=replace(item.settings, alpha_mask=False),
    )


@dataclass(frozen=True, eq=False)
class Shared:
    """What the work on every item shares. `margins_px`: how far the mask grows, and over how much it then fades.
    `hair_values`: what is known of masks that tell hair, by the item's name."""

    search: PersonSearch
    ledger: Ledger
    instances: InstanceMasks
    margins_px: tuple[int, int]
    overwrite: bool
    video_every: int
    workers: int
    hair_values: Mapping[str, tuple[int, ...]]


class Keeping:
    """The work on one photograph. `also` are settings that its mask depends on."""

    def __init__(self, item: DatasetItem, target: Path, shared: Shared, *also: object) -> None:
        self._item, self._target, self._shared = item, target, shared
        media = hash_of(item.media_path)
        sought = shared.search.fingerprint(item, media)
        self._sought = fingerprint_of(sought, *also) if also else sought
        self._given = shared.instances.find_given(item, self._sought)
        made_from = (
            STEP, mask_digest(item, self._given, item.settings.mask_meaning) or self._sought, media,
            item.settings.alpha_mask, mask_digest(item, item.mask_path, item.mask_meaning), shared.margins_px,
        )  # fmt: skip
        self._hair = shared.hair_values.get(item.name) if self._given is None else None
        self._without_hair = fingerprint_of(*made_from)
        self._fingerprint = fingerprint_of(*made_from, _OWN_HAIR, self._hair) if self._hair else self._without_hair
        self._state = shared.ledger.state(item.name, target, self._fingerprint)
        self._by_hand = self._state in (FileState.EDITED, FileState.FOREIGN) and not shared.overwrite

    def run(self) -> PersonRow:
        """Make the mask, or find that there is nothing to do."""
        record = self._shared.ledger.record(self._item.name)
        if self._by_hand:
            return self._drawn_by_hand(record)
        instances = self._shared.instances
        current = self._given is not None or instances.is_current(self._item, self._sought)
        if current and self._state is FileState.UNCHANGED and record is not None:
            return self._row("unchanged", record.details)
        return self._row("written", self._make())

    def _drawn_by_hand(self, record: Record | None) -> PersonRow:
        if record is None or record.fingerprint not in (self._fingerprint, self._without_hair):
            raise DatasetError(
                f"{self._target} was not written for this person, photograph and setting by {STEP}; check it, then "
                "move it away, choose another output_directory or set overwrite."
            )
        area, coverage = self._read_coverage()
        return PersonRow(self._item.name, "kept", None, "the mask was drawn or edited by hand", area, coverage)

    def _read_coverage(self) -> tuple[float, float]:
        """Of the mask that lies at the target: the fraction that has any weight, and the mean weight."""
        bare = replace(self._item, correction_path=None)
        mask_HW = np.asarray(load_item(with_mask(bare, self._target, None, by_hand=True)).weights_HW)
        return float((mask_HW > 0).mean()), float(mask_HW.mean(dtype=np.float64))

    def _make(self) -> dict[str, object]:
        # What was corrected by hand lies over the result, not under it.
        loaded = load_item(replace(self._item, correction_path=None))
        decision: PersonDecision | None = None
        if self._given is not None:
            instance_HW = read_instance(self._given, self._item, loaded.size)
        else:
            seen = None if self._hair is None else read_seen_hair(self._item, self._hair, loaded.size)
            instance_HW, decision = self._shared.search.run(self._item, loaded.rgb_HWC, seen)
            skipped = decision.outcome is Outcome.SKIPPED
            self._shared.instances.write(self._item, self._sought, None if skipped else instance_HW)
            if skipped:
                return self._finish(decision, 0.0, 0.0)
        kept_HW = apply_instance(loaded.full_weights_HW, instance_HW, *self._shared.margins_px)
        self._shared.ledger.begin(self._item.name, self._fingerprint)
        save_image(self._target, weights_to_uint8(kept_HW))
        return self._finish(decision, float(instance_HW.mean()), float(kept_HW.mean(dtype=np.float64)))

    def _finish(
        self, decision: PersonDecision | None, area: float, coverage: float, **also: object
    ) -> dict[str, object]:
        details: dict[str, object] = {
            "decision": None if decision is None else decision.to_json(), "area": area, "coverage": coverage, **also,
        }  # fmt: skip
        skipped = decision is not None and decision.outcome is Outcome.SKIPPED
        if skipped:
            # A mask from an earlier search would show somebody else, or the person by chance: it goes.
            self._target.unlink(missing_ok=True)
        self._shared.ledger.finish(self._item.name, self._fingerprint, None if skipped else self._target, details)
        return details

    def _row(self, state: str, details: Mapping[str, Any]) -> PersonRow:
        stored = details["decision"]
        decision = None if stored is None else decision_from_json(stored)
        reason = "the instance mask was given" if decision is None else decision.reason
        if decision is not None and decision.outcome is Outcome.SKIPPED:
            state = LEFT_OUT
        return PersonRow(
            self._item.name, state, decision, reason, details["area"], details["coverage"], details.get("video")
        )


class KeepingInVideo(Keeping):
    """The work on one video: where the person is goes to a mask video first, then the weights are cut by it."""

    def __init__(self, item: DatasetItem, target: Path, shared: Shared, advance: Advance) -> None:
        super().__init__(item, target, shared, _FOLLOWING, shared.video_every)
        self._advance = advance

    def _read_coverage(self) -> tuple[float, float]:
        return read_coverage(self._item, self._target)

    def _make(self) -> dict[str, object]:
        shared, item = self._shared, self._item
        check_required(item)
        decision: PersonDecision | None = None
        facts: dict[str, object] = {}
        with TemporaryDirectory() as scratch:
            instance_path = self._given
            if instance_path is None:
                instance_path = Path(scratch, "person.mkv")
                decision, facts["video"] = write_person(
                    item, shared.search, instance_path, shared.video_every, shared.workers, self._advance, self._hair
                )
                if decision.outcome is Outcome.SKIPPED:
                    shared.instances.write(item, self._sought, None)
                    return self._finish(decision, 0.0, 0.0, **facts)
                shared.instances.write_video(item, self._sought, instance_path)
            shared.ledger.begin(item.name, self._fingerprint)
            meaning = MaskMeaning.BRIGHTNESS if self._given is None else item.settings.mask_meaning
            area, coverage = cut_weights(item, instance_path, meaning, self._target, shared.margins_px)
        if decision is not None:
            decision = replace(decision, area=area)
        return self._finish(decision, area, coverage, **facts)
