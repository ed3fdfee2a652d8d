"""Items handed to other packs' nodes, and the masks that come back from them.

`_HW` pixel grid. Sizes are (width, height).
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..alpha import weights_to_uint8
from ..errors import DatasetError
from ..images import image_size, save_image
from ..progress import SILENT, Progress
from ..resample import check_same_aspect, fit_mask
from .files import hash_of
from .items import Dataset, DatasetItem
from .ledger import FileState, Ledger, fingerprint_of, open_ledger, target_for
from .load import LoadedItem, load_item

STEP = "SetMasks"


def hand_out(
    dataset: Dataset, offset: int, limit: int, progress: Progress = SILENT
) -> Iterator[tuple[str, LoadedItem]]:
    """Name and pixels of `limit` items from `offset` on, read one at a time. DatasetError when there are none."""
    items = dataset.items[offset : offset + limit]
    if not items:
        raise DatasetError(f"The dataset has {len(dataset.items)} items, none from offset {offset} on; lower it.")
    for number, item in enumerate(items):
        progress.update(number, len(items), item.name)
        yield item.name, load_item(item)
    progress.update(len(items), len(items))


def set_masks(
    dataset: Dataset,
    names: Sequence[str],
    masks: Sequence[np.ndarray],
    output_directory: Path,
    progress: Progress = SILENT,
) -> tuple[Dataset, dict[str, object]]:
    """Write `<output_directory>/<name>.png` (8-bit, the photograph's size) for the items named, one mask each.

    `masks` are float32 in [0, 1]; one of another size is brought to the photograph's where the aspect is the same.
    Other items keep what they have. Unchanged work is skipped. A file there that was edited since stays as long as its
    mask is the same; any other file there that is not ours is an error before anything is written.

    Returns the dataset with these masks, and the report {"items": [{"name", "state": written|unchanged|kept,
    "coverage"}], "counts"}. DatasetError for names that are unknown or given twice, or of another number than the
    masks; ImageError for a mask of another aspect.
    """
    given = _by_name(dataset, names, masks)
    with open_ledger(output_directory, STEP) as ledger:
        chosen = [item for item in dataset.items if item.name in given]
        states = {item.name: _state(item, given[item.name], output_directory, ledger) for item in chosen}
        rows: list[dict[str, object]] = []
        for number, item in enumerate(chosen):
            progress.update(number, len(chosen), item.name)
            rows.append(_set(item, given[item.name], output_directory, ledger, states[item.name]))
    progress.update(len(chosen), len(chosen))
    items = tuple(_with_mask(item, output_directory) if item.name in given else item for item in dataset.items)
    counts = Counter(row["state"] for row in rows)
    return Dataset(items, dataset.left_out), {
        "items": rows,
        "counts": {"items": len(items), **{state: counts[state] for state in ("written", "unchanged", "kept")}},
    }


def _by_name(dataset: Dataset, names: Sequence[str], masks: Sequence[np.ndarray]) -> Mapping[str, np.ndarray]:
    if not names or len(names) != len(masks):
        raise DatasetError(f"{len(names)} names came with {len(masks)} masks; give one mask for each name.")
    known = {item.name for item in dataset.items}
    for name, count in Counter(names).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "use the names that Dataset Items gives."
            raise DatasetError(f"The dataset has no item {name}; {hint}")
        if count > 1:
            raise DatasetError(f"{name} was given {count} masks; give one.")
    return dict(zip(names, masks, strict=True))


def _state(item: DatasetItem, mask_HW: np.ndarray, output_directory: Path, ledger: Ledger) -> FileState:
    target = target_for(item, output_directory)
    check_same_aspect(item.name, image_size(item.media_path), (mask_HW.shape[1], mask_HW.shape[0]))
    fingerprint = _fingerprint(item, mask_HW)
    state = ledger.state(item.name, target, fingerprint)
    record = ledger.record(item.name)
    kept = state is FileState.EDITED and record is not None and record.fingerprint == fingerprint
    if state is FileState.FOREIGN or (state is FileState.EDITED and not kept):
        raise DatasetError(
            f"{target} is there already and was not written, or was edited after it was written, by {STEP}; move it "
            "away, or choose another output_directory."
        )
    return state


def _set(
    item: DatasetItem, mask_HW: np.ndarray, output_directory: Path, ledger: Ledger, state: FileState
) -> dict[str, object]:
    record = ledger.record(item.name)
    if record is not None and state in (FileState.UNCHANGED, FileState.EDITED):
        said = "unchanged" if state is FileState.UNCHANGED else "kept"
        return {"name": item.name, "state": said, **record.details}
    size = image_size(item.media_path)
    weights_HW = fit_mask(mask_HW, size, size)
    target, fingerprint = target_for(item, output_directory), _fingerprint(item, mask_HW)
    ledger.begin(item.name, fingerprint)
    save_image(target, weights_to_uint8(weights_HW))
    details = {"coverage": round(float(weights_HW.mean(dtype=np.float64)), 6)}
    ledger.finish(item.name, fingerprint, target, details)
    return {"name": item.name, "state": "written", **details}


def _fingerprint(item: DatasetItem, mask_HW: np.ndarray) -> str:
    content = hashlib.sha256(weights_to_uint8(mask_HW).tobytes()).hexdigest()
    return fingerprint_of(STEP, hash_of(item.media_path), mask_HW.shape, content)


def _with_mask(item: DatasetItem, output_directory: Path) -> DatasetItem:
    target = target_for(item, output_directory)
    return replace(
        item,
        mask_path=target,
        # Where one person was kept already, the mask of everyone is still the one from before.
        tiers_path=target if item.person is None else item.tiers_path,
        settings=replace(item.settings, alpha_mask=False),
    )
