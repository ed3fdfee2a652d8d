"""Tiered weight masks for every photograph and video of a dataset, several photographs at a time.

`_HW`, `_HWC` pixel grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..alpha import weights_to_uint8
from ..images import has_alpha, load_image, save_image
from ..mask_meaning import MaskMeaning
from ..parts.part_map import PartSegmenter
from ..parts.tiers import TierWeights
from ..people.instances import PersonSegmenter
from ..progress import SILENT, Progress
from ..segmenters.bodies import with_bodies
from ..workers import worker_count
from .each_item import VIDEO_EVERY, Advance, each_item
from .files import check_case, hash_of
from .items import Dataset, DatasetItem
from .ledger import FileState, Ledger, Record, fingerprint_of, open_ledger, target_for
from .licences import FORBIDS_BIOMETRICS
from .load import uses_mask_file
from .mask_facts import mask_facts
from .tiered import TieredMask, tiered_mask
from .video_tiers import write_video_tiers

STEP = "BuildMasks"

Row = dict[str, object]


def build_masks(
    dataset: Dataset,
    segmenter: PartSegmenter,
    tiers: TierWeights,
    output_directory: Path,
    overwrite: bool = False,
    progress: Progress = SILENT,
    person_segmenter: PersonSegmenter | None = None,
    video_every: int = VIDEO_EVERY,
    workers: int | None = None,
) -> tuple[Dataset, dict[str, object]]:
    """Write `<output_directory>/<name>.png` (8-bit, the photograph's size, exact tier values) for each item.

    A video's are in one `<name>.mkv`, one mask per frame; every `video_every`-th is segmented, the others have the mask
    of the one before. What `person_segmenter` finds and the parts call background counts as body. An item that has a
    mask keeps it unless `overwrite`; so does a file there that this step did not write or that was edited since.
    Unchanged work is skipped. `workers`: photographs at a time, None for as many as the cores and models allow; the
    masks are the same for any number.

    Returns the dataset with these masks, and the report {"items": [{"name", "state": written|unchanged|kept, "reason",
    "coverage", "tiers": {tier: share of the picture}, "approximate", "mask_read": how its own mask is read,
    "video", "forbids_biometrics": the segmenter, where its licence does}], "counts"}. Errors of reading, segmenting and
    writing name the photograph or the file.
    """
    segmenter = segmenter if person_segmenter is None else with_bodies(segmenter, person_segmenter)
    workers = worker_count(segmenter) if workers is None else workers
    check_case((item.name for item in dataset.items), output_directory)
    targets = {item.name: target_for(item, output_directory) for item in dataset.items}
    with open_ledger(output_directory, STEP) as ledger:
        building = _Building(segmenter, tiers, targets, ledger, overwrite, video_every, workers)
        rows = each_item(dataset.items, building.photograph, building.video, video_every, workers, progress)
    items = tuple(
        item if row.pop("own", False) else _with_mask(item, targets[item.name], row["state"] == "kept")
        for item, row in zip(dataset.items, rows, strict=True)
    )
    return Dataset(items, dataset.left_out), {"items": rows, "counts": _counts(rows)}


class _Building:
    """What the work on every item shares."""

    def __init__(
        self, segmenter: PartSegmenter, tiers: TierWeights, targets: Mapping[str, Path], ledger: Ledger,
        overwrite: bool, video_every: int, workers: int,
    ) -> None:  # fmt: skip
        self._segmenter, self._tiers, self._targets, self._ledger = segmenter, tiers, targets, ledger
        self._overwrite, self._video_every, self._workers = overwrite, video_every, workers

    def photograph(self, item: DatasetItem) -> Row:
        """Make the mask of a photograph, or find that there is nothing to do."""
        fingerprint, row = self._look(item, ())
        if row is not None:
            return row
        mask = tiered_mask(self._segmenter, self._tiers, load_image(item.media_path)[0])
        self._ledger.begin(item.name, fingerprint)
        save_image(self._targets[item.name], weights_to_uint8(mask.weights_HW))
        return self._finish(item, fingerprint, _details(mask))

    def video(self, item: DatasetItem, advance: Advance) -> Row:
        """Make the masks of a video, or find that there is nothing to do."""
        fingerprint, row = self._look(item, (self._video_every,))
        if row is not None:
            return row
        self._ledger.begin(item.name, fingerprint)
        details = write_video_tiers(
            item, self._segmenter, self._tiers, self._targets[item.name], self._video_every, self._workers, advance
        )
        return self._finish(item, fingerprint, details)

    def _look(self, item: DatasetItem, also: tuple[object, ...]) -> tuple[str, Row | None]:
        """What the mask is made from, and the row of an item for which nothing is to be made."""
        target = self._targets[item.name]
        own = None if self._overwrite else _own_mask(item, target)
        if own is not None:
            facts = mask_facts(item) if uses_mask_file(item) else None
            read = {} if facts is None else {"mask_read": facts.to_json()}
            return "", {"name": item.name, "state": "kept", "reason": own, "own": True, **read}
        fingerprint = fingerprint_of(STEP, hash_of(item.media_path), self._segmenter.identity, self._tiers, *also)
        state = self._ledger.state(item.name, target, fingerprint)
        record = self._ledger.record(item.name)
        if state is FileState.UNCHANGED and record is not None:
            return fingerprint, {"name": item.name, "state": "unchanged", **record.details}
        if state in (FileState.EDITED, FileState.FOREIGN) and not self._overwrite:
            reason = _kept_reason(state, record, fingerprint)
            return fingerprint, {"name": item.name, "state": "kept", "reason": reason}
        return fingerprint, None

    def _finish(self, item: DatasetItem, fingerprint: str, details: Mapping[str, object]) -> Row:
        if getattr(self._segmenter, "forbids_biometrics", False):
            details = {**details, FORBIDS_BIOMETRICS: self._segmenter.name}
        self._ledger.finish(item.name, fingerprint, self._targets[item.name], details)
        return {"name": item.name, "state": "written", **details}


def _own_mask(item: DatasetItem, target: Path) -> str | None:
    """Why the item's own mask stays, or None when it has none (an all-opaque alpha is none)."""
    if item.mask_path is not None and item.mask_path.resolve() != target.resolve():
        return f"it has the mask {item.mask_path.name}"
    if item.settings.alpha_mask and not item.is_video and has_alpha(item.media_path):
        alpha_HW = load_image(item.media_path)[1]
        if alpha_HW is not None and not (alpha_HW == 255).all():
            return "it has its mask in the alpha channel"
    return None


def _kept_reason(state: FileState, record: Record | None, fingerprint: str) -> str:
    if state is FileState.FOREIGN or record is None:
        return "a file lies there that this step did not write"
    same = record.fingerprint == fingerprint
    return "it was edited after it was written" + ("" if same else ", and the photograph or the settings changed since")


def _details(mask: TieredMask) -> Row:
    return {"coverage": round(mask.coverage, 6), "tiers": mask.shares, "approximate": mask.approximate}


def _with_mask(item: DatasetItem, target: Path, by_hand: bool) -> DatasetItem:
    settings = replace(item.settings, alpha_mask=False)
    meaning = MaskMeaning.AUTO if by_hand else MaskMeaning.BRIGHTNESS
    return replace(
        item, mask_path=target, mask_meaning=meaning, tiers_path=target, tiers_meaning=meaning, settings=settings
    )


def _counts(rows: list[Row]) -> dict[str, int]:
    states = Counter(row["state"] for row in rows)
    return {"items": len(rows), **{state: states[state] for state in ("written", "unchanged", "kept")}}
