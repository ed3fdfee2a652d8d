"""Items handed to other packs' nodes, and the masks that come back from them.

A video is handed out as its frames at the target rate. `_HW`, `_HWC` pixel grid. Sizes are (width, height).
"""

from __future__ import annotations

import difflib
import hashlib
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from ..alpha import weights_to_uint8
from ..dataset.crops import refuse_crops
from ..dataset.files import hash_of
from ..dataset.items import Dataset, DatasetItem
from ..dataset.load import frames_at_target_rate, load_item, media_size, read_weights
from ..dataset.turned import check_mask_fits
from ..errors import DatasetError
from ..fingerprints import fingerprint_of
from ..images import save_image
from ..mask_meaning import MaskMeaning
from ..progress import SILENT, Progress
from ..resample import fit_mask
from ..video.masks import MaskVideoWriter
from ..video.reader import probe, read_frames
from .ledger import FileState, Ledger, open_ledger, target_for

STEP = "SetMasks"
# A video is handed out whole; its pictures and masks become float32.
_BYTES_PER_PIXEL = 4 * 4
_MOST_BYTES = 4 << 30


@dataclass(frozen=True, eq=False)
class HandedOut:
    """One item for other nodes: a photograph, or the frames of a video. `pictures` are rgb_HWC uint8, `masks` float32
    in [0, 1] of the same size, as many, all 1 where there is no mask."""

    name: str
    pictures: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]


def hand_out(dataset: Dataset, offset: int, limit: int, progress: Progress = SILENT) -> Iterator[HandedOut]:
    """`limit` items from `offset` on, read one at a time. DatasetError when there are none, or when a video would take
    more than 4 GiB as pictures."""
    items = dataset.items[offset : offset + limit]
    if not items:
        raise DatasetError(f"The dataset has {len(dataset.items)} items, none from offset {offset} on; lower it.")
    for number, item in enumerate(items):
        progress.update(number, len(items), item.name)
        if item.is_video:
            if item.is_cut:
                raise DatasetError(
                    f"{item.name} is a crop of a video, each of whose clips has a rectangle of its own, so that its "
                    "frames are no pictures of one size; connect Dataset Items before Crops (Dataset)."
                )
            yield _frames(item)
        else:
            loaded = load_item(item)
            yield HandedOut(item.name, (loaded.rgb_HWC,), (loaded.full_weights_HW,))
    progress.update(len(items), len(items))


def _frames(item: DatasetItem) -> HandedOut:
    numbers = frames_at_target_rate(item)
    width, height = media_size(item)
    size_bytes = len(numbers) * width * height * _BYTES_PER_PIXEL
    if size_bytes > _MOST_BYTES:
        raise DatasetError(
            f"{item.name} has {len(numbers)} frames of {width}x{height} at target_fps, {size_bytes / 2**30:.1f} GiB as "
            f"pictures; {_MOST_BYTES >> 30} GiB are handed out at most. Lower target_fps, cut the video, or use Build "
            "Masks, which takes it frame by frame."
        )
    pictures = dict(read_frames(item.media_path, numbers))
    masks = dict(read_weights(item, numbers)) or {number: np.ones((height, width), np.float32) for number in numbers}
    return HandedOut(item.name, [pictures[number] for number in numbers], [masks[number] for number in numbers])


def set_masks(
    dataset: Dataset,
    names: Sequence[str],
    masks: Sequence[np.ndarray],
    output_directory: Path,
    progress: Progress = SILENT,
) -> tuple[Dataset, dict[str, object]]:
    """Write `<output_directory>/<name>.png` (8-bit, the photograph's size) for the items named, one mask each; for a
    video `<name>.mkv`, of one mask for all of it, or of one for each frame that `hand_out` gave, which the frames after
    it share.

    `masks` are float32 in [0, 1]; one of another size is brought to the photograph's where the aspect is the same.
    Other items keep what they have. Unchanged work is skipped. A file there that was edited since stays as long as its
    mask is the same; any other file there that is not ours is an error before anything is written.

    Returns the dataset with these masks, and the report {"items": [{"name", "state": written|unchanged|kept,
    "coverage"}], "counts"}. DatasetError for names that are unknown or given twice, or of another number than the
    masks; ImageError for a mask of another aspect.
    """
    refuse_crops(dataset, "Set Masks")
    given = _by_name(dataset, names, masks)
    with open_ledger(output_directory, STEP) as ledger:
        chosen = [item for item in dataset.items if item.name in given]
        states = {item.name: _state(item, given[item.name], output_directory, ledger) for item in chosen}
        rows: list[dict[str, object]] = []
        for number, item in enumerate(chosen):
            progress.update(number, len(chosen), item.name)
            rows.append(_set(item, given[item.name], output_directory, ledger, states[item.name]))
    progress.update(len(chosen), len(chosen))
    edited = {row["name"] for row in rows if row["state"] == "kept"}
    items = tuple(
        _with_mask(item, output_directory, item.name in edited) if item.name in given else item
        for item in dataset.items
    )
    counts = Counter(row["state"] for row in rows)
    return replace(dataset, items=items), {
        "items": rows,
        "counts": {"items": len(items), **{state: counts[state] for state in ("written", "unchanged", "kept")}},
    }


def _by_name(dataset: Dataset, names: Sequence[str], masks: Sequence[np.ndarray]) -> Mapping[str, Sequence[np.ndarray]]:
    """The masks of each item named: one, or of a video as many as it has frames at the target rate."""
    known = {item.name: item for item in dataset.items}
    for name, count in Counter(names).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "use the names that Dataset Items gives."
            raise DatasetError(f"The dataset has no item {name}; {hint}")
        if count > 1:
            raise DatasetError(f"{name} was given {count} masks; give one.")
    wanted = [1] * len(names)
    if len(names) != len(masks):
        wanted = [len(frames_at_target_rate(known[name])) if known[name].is_video else 1 for name in names]
    if not names or sum(wanted) != len(masks):
        videos = f", or {sum(wanted)} with one for each frame of a video" if sum(wanted) != len(names) else ""
        raise DatasetError(f"{len(names)} names came with {len(masks)} masks; give one mask for each name{videos}.")
    following = iter(masks)
    return {name: list(islice(following, count)) for name, count in zip(names, wanted, strict=True)}


def _state(item: DatasetItem, masks: Sequence[np.ndarray], output_directory: Path, ledger: Ledger) -> FileState:
    target = target_for(item, output_directory)
    for mask_HW in masks:
        check_mask_fits(item, media_size(item), (mask_HW.shape[1], mask_HW.shape[0]))
    fingerprint = _fingerprint(item, masks)
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
    item: DatasetItem, masks: Sequence[np.ndarray], output_directory: Path, ledger: Ledger, state: FileState
) -> dict[str, object]:
    record = ledger.record(item.name)
    if record is not None and state in (FileState.UNCHANGED, FileState.EDITED):
        said = "unchanged" if state is FileState.UNCHANGED else "kept"
        return {"name": item.name, "state": said, **record.details}
    target, fingerprint = target_for(item, output_directory), _fingerprint(item, masks)
    ledger.begin(item.name, fingerprint)
    coverage = _write_video(item, masks, target) if item.is_video else _write_picture(item, masks[0], target)
    details = {"coverage": round(coverage, 6)}
    ledger.finish(item.name, fingerprint, target, details)
    return {"name": item.name, "state": "written", **details}


def _write_picture(item: DatasetItem, mask_HW: np.ndarray, target: Path) -> float:
    size = media_size(item)
    weights_HW = fit_mask(mask_HW, size, size)
    save_image(target, weights_to_uint8(weights_HW))
    return float(weights_HW.mean(dtype=np.float64))


def _write_video(item: DatasetItem, masks: Sequence[np.ndarray], target: Path) -> float:
    """One mask for each frame of the file; those between two that were handed out have the first one's."""
    info = probe(item.media_path)
    given = frames_at_target_rate(item) if len(masks) > 1 else (0,)
    covered = 0.0
    with MaskVideoWriter(target, info.size, info.times) as writer:
        for number in range(info.frames):
            weights_HW = fit_mask(masks[max(0, bisect_right(given, number) - 1)], info.size, info.size)
            writer.add(weights_to_uint8(weights_HW))
            covered += float(weights_HW.mean(dtype=np.float64))
    return covered / info.frames


def _fingerprint(item: DatasetItem, masks: Sequence[np.ndarray]) -> str:
    contents = [hashlib.sha256(weights_to_uint8(mask_HW).tobytes()).hexdigest() for mask_HW in masks]
    frames = frames_at_target_rate(item) if len(masks) > 1 else ()
    return fingerprint_of(STEP, hash_of(item.media_path), masks[0].shape, *contents, *frames)


def _with_mask(item: DatasetItem, output_directory: Path, by_hand: bool) -> DatasetItem:
    target = target_for(item, output_directory)
    meaning = MaskMeaning.AUTO if by_hand else MaskMeaning.BRIGHTNESS
    return replace(
        item,
        mask_path=target,
        mask_meaning=meaning,
        # Where one person was kept already, the mask of everyone is still the one from before.
        tiers_path=target if item.person is None else item.tiers_path,
        tiers_meaning=meaning if item.person is None else item.tiers_meaning,
        settings=replace(item.settings, alpha_mask=False),
    )
