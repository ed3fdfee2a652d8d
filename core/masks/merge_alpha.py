"""Photographs and their weights become one folder of RGBA pictures: the mask can no longer be lost or mixed up.

The colour is kept bit for bit, under weight 0 too; EXIF orientation is applied once. `_HW`, `_HWC` pixel grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np

from ..alpha import merge_alpha, weights_to_uint8
from ..dataset.caption_file import CAPTION_FILE_SUFFIXES
from ..dataset.captions import read_caption
from ..dataset.crop import Crop
from ..dataset.files import check_case, hash_of
from ..dataset.items import Dataset, DatasetItem
from ..dataset.load import check_required, load_item
from ..dataset.mask_facts import mask_digest
from ..dataset.turned import check_mask_fits
from ..errors import DatasetError
from ..files import read_bytes, write_bytes, write_text
from ..fingerprints import fingerprint_of
from ..images import conversion_of, image_size, save_image
from ..progress import SILENT, Progress
from ..spread import Piece, Spread, collect_failures
from ..warning import warn
from .ledger import FileState, Ledger, open_ledger, target_for

STEP = "MergeAlpha"
# Not the masks' ledger: a folder of RGBA pictures is there to be scanned as images.
RGBA_LEDGER = ".maskloss_rgba.json"


class _Action(str, Enum):
    WRITE = "written"
    NOTHING = "unchanged"
    SKIP = "skipped"
    PASS = "passed through"


@dataclass(frozen=True)
class _Plan:
    item: DatasetItem
    target: Path
    caption_target: Path | None
    fingerprint: str
    action: _Action


def merge_dataset_alpha(
    dataset: Dataset,
    output_directory: Path,
    dry_run: bool = False,
    skip_existing: bool = False,
    progress: Progress = SILENT,
    spread: Spread | None = None,
) -> tuple[Dataset, dict[str, object]]:
    """Write `<output_directory>/<name>.png`, RGBA with alpha = weight, for every item, and its caption beside.

    An item without a mask becomes opaque: full weight. A crop is cut out. Videos pass through as they are. Unchanged
    work is skipped. A file there that this step did not write is an error before anything is written, or with
    `skip_existing` left as it is. With `dry_run` nothing is written and the dataset comes back as it was. With `spread`
    other processes do the work; an item that cannot be worked on is one of ItemsFailedError's then.

    Returns a dataset that reads the alpha of these files, and the report {"items": [{"name", "state":
    written|unchanged|skipped|passed through, "origin", "coverage", "caption"}], "counts", "messages", "dry_run"}.
    MaskMissingError, ImageError and DatasetError name the item or the file.
    """
    if not dry_run:
        check_case((item.name for item in dataset.items), output_directory)
    with open_ledger(output_directory, STEP, RGBA_LEDGER) as ledger:
        plans: list[_Plan] = []
        with collect_failures(spread) as failures:
            for item in dataset.items:
                progress.update(0, len(dataset.items), f"looking at {item.name}")
                with failures.of(item.name):
                    plans.append(_plan(item, output_directory, ledger, skip_existing))
        merging = _Merging(ledger)
        made: dict[str, dict[str, object]] = {}
        if spread is not None and not dry_run:
            made = _merge_elsewhere([plan for plan in plans if plan.action is _Action.WRITE], merging, spread, progress)
        rows: list[dict[str, object]] = []
        for number, plan in enumerate(plans):
            progress.update(number, len(plans), plan.item.name)
            details = made.get(plan.item.name, {})
            if not (dry_run or details or plan.action in (_Action.SKIP, _Action.PASS)):
                details = merging(plan)
            rows.append({"name": plan.item.name, "state": plan.action.value, **details})
    progress.update(len(plans), len(plans))
    merged = dataset if dry_run else replace(dataset, items=tuple(_merged_item(plan) for plan in plans))
    return merged, _report(rows, dry_run)


def _plan(item: DatasetItem, output_directory: Path, ledger: Ledger, skip_existing: bool) -> _Plan:
    if item.is_video:
        return _Plan(item, item.media_path, None, "", _Action.PASS)
    if item.is_cut and item.control_path is not None:
        raise DatasetError(
            f"{item.name} is a crop with a control image, which would no longer fit the picture written here; connect "
            f"the crops to CacheLatents without {STEP}, which cuts both alike."
        )
    target = target_for(item, output_directory, _caption_suffix(item) if item.caption else "")
    check_required(item)
    if item.mask_path is not None:
        check_mask_fits(item, image_size(item.media_path), image_size(item.mask_path))
    caption_target = target.with_name(target.stem + _caption_suffix(item)) if item.caption else None
    fingerprint = fingerprint_of(
        STEP, hash_of(item.media_path), item.settings.alpha_mask,
        mask_digest(item, item.mask_path, item.mask_meaning), item.caption,
        *conversion_of(item.media_path), *(() if (cut := item.rectangle()) is None else (f"crop {cut}",)),
        *(() if item.correction_path is None else (f"correction {hash_of(item.correction_path)}",)),
    )  # fmt: skip
    state = ledger.state(item.name, target, fingerprint)
    if skip_existing and target.exists():
        return _Plan(item, target, caption_target, fingerprint, _Action.SKIP)
    if state is FileState.UNCHANGED and (caption_target is None or caption_target.exists()):
        return _Plan(item, target, caption_target, fingerprint, _Action.NOTHING)
    if state in (FileState.FOREIGN, FileState.EDITED):
        raise _not_ours(target)
    if caption_target is not None and caption_target.exists():
        record = ledger.record(item.name)
        ours = None if record is None else record.details.get("caption")
        if read_caption(caption_target) not in (item.caption, ours):
            raise _not_ours(caption_target)
    return _Plan(item, target, caption_target, fingerprint, _Action.WRITE)


def _not_ours(path: Path) -> DatasetError:
    return DatasetError(
        f"{path} is there already and was not written, or was edited after it was written, by {STEP}; set "
        "skip_existing to leave such pictures, or choose another output_directory."
    )


@dataclass(frozen=True, eq=False)
class _Merging:
    """The work on one picture: what is noted of it comes back."""

    ledger: Ledger

    def __call__(self, plan: _Plan) -> dict[str, object]:
        return _merge(plan, self.ledger)


def _merge_elsewhere(
    plans: Sequence[_Plan], merging: _Merging, spread: Spread, progress: Progress
) -> dict[str, dict[str, object]]:
    """What is noted of each picture that is to be written, by other processes, by the items' names."""
    made: dict[str, dict[str, object]] = {}
    with closing(spread.map(merging, (Piece((plan.item.name,), plan) for plan in plans))) as results:
        for piece, details in results:
            made[piece.content.item.name] = details
            progress.update(len(made), len(plans), piece.content.item.name)
    return made


def _merge(plan: _Plan, ledger: Ledger) -> dict[str, object]:
    record = ledger.record(plan.item.name)
    if plan.action is _Action.NOTHING and record is not None:
        return dict(record.details)
    loaded = load_item(plan.item)
    weights_HW = loaded.full_weights_HW
    ledger.begin(plan.item.name, plan.fingerprint)
    save_image(plan.target, merge_alpha(loaded.rgb_HWC, weights_to_uint8(weights_HW)))
    if plan.caption_target is None:
        _drop_caption(plan, "" if record is None else str(record.details.get("caption", "")))
    _copy_caption(plan)
    coverage = round(float(weights_HW.mean(dtype=np.float64)), 6)
    details: dict[str, object] = {
        "origin": loaded.origin.value, "coverage": coverage, "caption": plan.item.caption,
        **({"unused_alpha": True} if loaded.unused_alpha else {}),
    }  # fmt: skip
    ledger.finish(plan.item.name, plan.fingerprint, plan.target, details)
    return details


def _copy_caption(plan: _Plan) -> None:
    if plan.caption_target is None:
        return
    of_many = plan.item.caption_path is not None and plan.item.caption_path.suffix.lower() in CAPTION_FILE_SUFFIXES
    if plan.item.caption_path is not None and not of_many and read_caption(plan.item.caption_path) == plan.item.caption:
        write_bytes(plan.caption_target, read_bytes(plan.item.caption_path))
    else:
        write_text(plan.caption_target, plan.item.caption + "\n")


def _drop_caption(plan: _Plan, ours: str) -> None:
    """Take away the caption that an earlier run wrote, now that the photograph has none; an edited one stays."""
    old = plan.target.with_name(plan.target.stem + _caption_suffix(plan.item))
    if ours and old.exists() and read_caption(old) == ours:
        old.unlink()


def _merged_item(plan: _Plan) -> DatasetItem:
    if plan.action is _Action.PASS:
        return plan.item
    there = plan.caption_target is not None and plan.caption_target.exists()
    item = plan.item
    if item.crop is not None and item.is_cut:
        # The file shows the crop alone; the mask of everyone is still one of the whole photograph.
        item = replace(item, crop=Crop(item.crop.kind), tiers_path=None)
    return replace(
        item,
        media_path=plan.target,
        mask_path=None,
        correction_path=None,
        settings=replace(plan.item.settings, alpha_mask=True),
        caption_path=plan.caption_target if there else plan.item.caption_path,
    )


def _caption_suffix(item: DatasetItem) -> str:
    """Of the text file beside the RGBA picture; a file of many captions is not written again."""
    suffix = ".txt" if item.caption_path is None else item.caption_path.suffix
    return ".txt" if suffix.lower() in CAPTION_FILE_SUFFIXES else suffix


def _report(rows: list[dict[str, object]], dry_run: bool) -> dict[str, object]:
    states = Counter(row["state"] for row in rows)
    bare = sum(row.get("origin") == "none" for row in rows)
    messages = [warn(f"{bare} items had no mask (no alpha + no file). Filled with full-weight (255).")] if bare else []
    if unused := sum(bool(row.get("unused_alpha")) for row in rows):
        messages.append(warn(f"{unused} items have alpha, not used because alpha_mask is off."))
    if videos := states[_Action.PASS.value]:
        messages.append(f"{videos} videos pass through as they are: alpha is for pictures, their masks stay files.")
    return {
        "items": rows,
        "counts": {"items": len(rows), **{action.value: states[action.value] for action in _Action}},
        "messages": messages,
        "dry_run": dry_run,
    }
