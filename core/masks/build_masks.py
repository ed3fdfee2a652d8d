"""Tiered weight masks for every photograph and video of a dataset, several photographs at a time.

`_HW`, `_HWC` pixel grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..alpha import weights_to_uint8
from ..dataset.crops import refuse_crops
from ..dataset.files import check_case, hash_of
from ..dataset.items import Dataset, DatasetItem
from ..dataset.ledger_records import Record
from ..dataset.load import uses_mask_file
from ..dataset.mask_facts import MOST_TIERS, TIER_VALUES, mask_facts
from ..fingerprints import fingerprint_of
from ..first_names import first_names
from ..images import has_alpha, load_image, save_image
from ..mask_meaning import MaskMeaning
from ..parts.part_map import PartMap, PartSegmenter
from ..parts.tiers import TierWeights
from ..people.instances import PersonSegmenter
from ..progress import check_interrupted
from ..segmenters.bodies import with_bodies
from ..warning import warn
from .each_item import DEFAULT_WORK, Advance, ItemWork, each_item
from .edited import EarlierMasks
from .items_elsewhere import CountedSteps, each_item_elsewhere
from .kept_parts import KeptParts
from .known_hair import HAIR_VALUES, hair_values
from .ledger import FileState, Ledger, open_ledger, target_for
from .licences import FORBIDS_BIOMETRICS
from .part_values import PART_VALUES, part_values
from .tiered import TieredMask, TierMaker, tiered_mask
from .video_tiers import write_video_tiers

STEP = "BuildMasks"

# Of what a photograph's ledger entry holds, and its row in the report does not.
PHOTOGRAPH = "photograph"
_SEGMENTED = "segmented"

Row = dict[str, Any]


@dataclass(frozen=True)
class Reuse:
    """What of earlier runs is used.

    An item that has a mask keeps it unless `overwrite`; so does a file that this step did not write or that was edited
    since. What the segmenter finds is kept in `parts_directory`, and other tiers are made from it without segmenting
    again. In the directories of `earlier` are masks by other settings: those that were edited by hand since are used
    where they lie, unless `overwrite`.
    """

    overwrite: bool = False
    parts_directory: Path | None = None
    earlier: Sequence[Path] = ()


def build_masks(
    dataset: Dataset,
    segmenter: PartSegmenter,
    tiers: TierWeights,
    output_directory: Path,
    person_segmenter: PersonSegmenter | None = None,
    reuse: Reuse = Reuse(),
    work: ItemWork = DEFAULT_WORK,
) -> tuple[Dataset, dict[str, Any]]:
    """Write `<output_directory>/<name>.png` (8-bit, the photograph's size, exact tier values) for each item.

    A video's are in one `<name>.mkv`, one mask per frame; every n-th is segmented, the others have the mask of the one
    before. What `person_segmenter` finds and the parts call background counts as body. Unchanged work is skipped.

    Returns the dataset with these masks, and the report {"items": [{"name", "state": written|unchanged|kept, "reason",
    "coverage", "tiers": {tier: fraction of the picture}, "faceless": regions of people without a face, "approximate",
    "mask_read": how its own mask is read, "video", "forbids_biometrics": the segmenter, where its licence does}],
    "counts", "segmented": pictures whose parts were not kept from before, "messages"}. Errors of reading, segmenting
    and writing name the photograph or the file.
    """
    refuse_crops(dataset, "Build Masks")
    segmenter = segmenter if person_segmenter is None else with_bodies(segmenter, person_segmenter)
    workers = work.worker_count(segmenter)
    dataset = _knowing_tiers(dataset, tiers)
    check_case((item.name for item in dataset.items), output_directory)
    for item in dataset.items:
        target_for(item, output_directory)  # refused before anything is made
    with open_ledger(output_directory, STEP) as ledger:
        maker = TierMaker(segmenter, tiers, KeptParts(reuse.parts_directory), work.video_every, workers)
        building = _Building(maker, output_directory, ledger, reuse)
        if work.spread is not None:
            counted = CountedSteps(building, building.count_segmented, _SEGMENTED)
            rows = each_item_elsewhere(dataset.items, counted, work.spread, work.progress)
        else:
            do = building.photograph, building.video
            rows = each_item(dataset.items, *do, work.video_every, workers, work.progress)
    items = tuple(
        item if row.pop("own", False) else _with_mask(item, building.mask_of(item), row["state"] == "kept")
        for item, row in zip(dataset.items, rows, strict=True)
    )
    messages = _messages(rows)
    segmented = maker.kept.segmented
    for row in rows:
        row.pop("edited", None)
        segmented += row.pop(_SEGMENTED, 0)
    report = {"items": rows, "counts": _counts(rows), "segmented": segmented, "messages": messages}
    return replace(dataset, items=items), report


class _Building:
    """What the work on every item shares."""

    def __init__(self, maker: TierMaker, directory: Path, ledger: Ledger, reuse: Reuse) -> None:
        self._maker, self._directory, self._ledger = maker, directory, ledger
        self._overwrite, self._earlier = reuse.overwrite, EarlierMasks(reuse.earlier, STEP)
        self._taken_over: dict[str, Path] = {}

    def mask_of(self, item: DatasetItem) -> Path:
        """Where the mask of an item lies that was worked on."""
        return self._taken_over.get(item.name) or self._target(item)

    def count_segmented(self) -> int:
        """How many pictures have been segmented by this process."""
        return self._maker.kept.segmented

    def look(self, item: DatasetItem) -> Row | None:
        """The row of an item for which nothing is to be made."""
        return self._look(item)[2]

    def _target(self, item: DatasetItem) -> Path:
        return target_for(item, self._directory)

    def photograph(self, item: DatasetItem) -> Row:
        """Make the mask of a photograph, or find that there is nothing to do."""
        media, fingerprint, row = self._look(item)
        if row is not None:
            return row

        def segment() -> PartMap:
            rgb_HWC = load_image(item.media_path)[0]
            check_interrupted()
            return self._maker.segmenter.segment(rgb_HWC)

        parts = self._maker.kept.get(segment, media, self._maker.segmenter.identity)
        check_interrupted()
        mask = tiered_mask(parts, self._maker.tiers)
        check_interrupted()
        self._ledger.begin(item.name, fingerprint)
        save_image(self._target(item), weights_to_uint8(mask.weights_HW))
        return self._finish(item, media, fingerprint, _details(mask))

    def video(self, item: DatasetItem, advance: Advance) -> Row:
        """Make the masks of a video, or find that there is nothing to do."""
        media, fingerprint, row = self._look(item)
        if row is not None:
            return row
        self._ledger.begin(item.name, fingerprint)
        details = write_video_tiers(item, media, self._maker, self._target(item), advance)
        return self._finish(item, media, fingerprint, details)

    def _look(self, item: DatasetItem) -> tuple[str, str, Row | None]:
        """The hash of the file, what the mask is made from, and the row of an item for which nothing is to be made."""
        target = self._target(item)
        own = None if self._overwrite else _own_mask(item, target)
        if own is not None:
            facts = mask_facts(item) if uses_mask_file(item) else None
            read = {} if facts is None else {"mask_read": facts.to_json()}
            return "", "", {"name": item.name, "state": "kept", "reason": own, "own": True, **read}
        media = hash_of(item.media_path)
        also = (self._maker.video_every,) if item.is_video else ()
        fingerprint = fingerprint_of(STEP, media, self._maker.segmenter.identity, self._maker.tiers, *also)
        state = self._ledger.state(item.name, target, fingerprint)
        record = self._ledger.record(item.name)
        if not self._overwrite:
            if state in (FileState.EDITED, FileState.FOREIGN):
                return media, fingerprint, _kept_row(item, state, record, fingerprint)
            edited = self._earlier.find_edit(item, media)
            if edited is not None:
                self._taken_over[item.name] = edited
                reason = f"it was edited by hand in {edited.parent}, where other settings made it"
                return media, fingerprint, {"name": item.name, "state": "kept", "reason": reason, "edited": "before"}
        if state is FileState.UNCHANGED and record is not None:
            values = self._values(item)
            if {key: record.details.get(key) for key in values} != values:  # noted by an earlier version
                noted = {**record.details, **values}
                self._ledger.finish(item.name, fingerprint, target, noted)
            return media, fingerprint, {"name": item.name, "state": "unchanged", **_report_row(record.details)}
        return media, fingerprint, None

    def _finish(self, item: DatasetItem, media: str, fingerprint: str, details: Mapping[str, object]) -> Row:
        if getattr(self._maker.segmenter, "forbids_biometrics", False):
            details = {**details, FORBIDS_BIOMETRICS: self._maker.segmenter.name}
        noted = {**details, PHOTOGRAPH: media, **self._values(item)}
        self._ledger.finish(item.name, fingerprint, self._target(item), noted)
        return {"name": item.name, "state": "written", **details}

    def _values(self, item: DatasetItem) -> dict[str, object]:
        hair = hair_values(self._maker.tiers, self._maker.video_every if item.is_video else None)
        return {
            HAIR_VALUES: hair,
            TIER_VALUES: list(self._maker.tiers.values),
            PART_VALUES: part_values(self._maker.tiers),
        }


def _knowing_tiers(dataset: Dataset, tiers: TierWeights) -> Dataset:
    """Videos know the tiers that masks of this dataset have: one that was compressed with loss is brought back to
    them."""
    if len(tiers.values) > MOST_TIERS:
        return dataset
    items = (replace(item, tier_values=tiers.values) if item.is_video else item for item in dataset.items)
    return replace(dataset, items=tuple(items))


def _own_mask(item: DatasetItem, target: Path) -> str | None:
    """Why the item's own mask stays, or None when it has none (an all-opaque alpha is none)."""
    if item.mask_path is not None and item.mask_path.resolve() != target.resolve():
        return f"it has the mask {item.mask_path.name}"
    if item.settings.alpha_mask and not item.is_video and has_alpha(item.media_path):
        alpha_HW = load_image(item.media_path)[1]
        if alpha_HW is not None and not (alpha_HW == 255).all():
            return "it has its mask in the alpha channel"
    return None


def _kept_row(item: DatasetItem, state: FileState, record: Record | None, fingerprint: str) -> Row:
    row: Row = {"name": item.name, "state": "kept"}
    if state is FileState.FOREIGN or record is None:
        return {**row, "reason": "a file lies there that this step did not write"}
    if record.fingerprint == fingerprint:
        return {**row, "reason": "it was edited after it was written", "edited": "now"}
    reason = "it was edited after it was written, and the photograph or the settings changed since"
    return {**row, "reason": reason, "edited": "before"}


def _report_row(details: Mapping[str, object]) -> Row:
    noted = (PHOTOGRAPH, HAIR_VALUES, TIER_VALUES, PART_VALUES)
    return {key: value for key, value in details.items() if key not in noted}


def _details(mask: TieredMask) -> Row:
    return {
        "coverage": round(mask.coverage, 6), "tiers": mask.fractions, "faceless": mask.faceless,
        "approximate": mask.approximate,
    }  # fmt: skip


def _with_mask(item: DatasetItem, target: Path, by_hand: bool) -> DatasetItem:
    settings = replace(item.settings, alpha_mask=False)
    meaning = MaskMeaning.AUTO if by_hand else MaskMeaning.BRIGHTNESS
    return replace(
        item, mask_path=target, mask_meaning=meaning, tiers_path=target, tiers_meaning=meaning, settings=settings
    )


def _messages(rows: Sequence[Row]) -> list[str]:
    """What is said of all rows together. What should not go by unseen is warned of."""
    messages: list[str] = []
    faceless = [str(row["name"]) for row in rows if row.get("faceless")]
    if faceless:
        messages.append(
            warn(
                f"In {len(faceless)} photographs somebody's mask has no face, so a face there has the body's weight: "
                f"{first_names(faceless)}. Look at them; where a face is seen, draw its mask or use another segmenter."
            )
        )
    edited = [str(row["name"]) for row in rows if row.get("edited") == "now"]
    if edited:
        messages.append(f"{len(edited)} masks were edited by hand and are kept: {first_names(edited)}.")
    older = [str(row["name"]) for row in rows if row.get("edited") == "before"]
    if older:
        messages.append(
            warn(
                f"{len(older)} masks were edited by hand before the photograph or the settings changed, and are kept "
                f"as they are: {first_names(older)}. Set overwrite to have them made again."
            )
        )
    return messages


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    states = Counter(row["state"] for row in rows)
    return {"items": len(rows), **{state: states[state] for state in ("written", "unchanged", "kept")}}
