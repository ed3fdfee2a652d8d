"""A dataset's pictures become latents on disk, with their mask weights on the latent grid.

Shapes: `_HWC`, `_BTHWC` pixels; `_CThw`, `_1Thw` the latent grid. Sizes are (width, height).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from ..data.items import Dataset, MaskOrigin
from ..data.load import LoadedItem, check_required, load_item
from ..errors import CacheError, DatasetError, PathError, SettingError
from ..images import load_image
from ..progress import SILENT, Progress
from ..resample import fit_image, fit_mask, to_latent_grid
from .encoders import LatentEncoder
from .entries import CacheEntry
from .entry_file import (
    LATENT_FINGERPRINT,
    MASK_FINGERPRINT,
    EntryHeader,
    MaskStorage,
    read_header,
    read_latent,
    write_entry,
)
from .index import INDEX_FILE, CacheIndex, orphan_files, read_index, write_index
from .plan import FORMAT_VERSION, Action, CachingRules, ItemPlan, OneFrame, plan_item
from .reference_files import holds_reference_files
from .store import LatentCache, open_cache


def cache_latents(
    dataset: Dataset,
    encoder: LatentEncoder,
    directory: Path,
    mask_storage: MaskStorage = MaskStorage.FLOAT16,
    batch_size: int = 1,
    one_frame: OneFrame | None = None,
    progress: Progress = SILENT,
) -> tuple[LatentCache, dict[str, object]]:
    """Cache every item of `dataset` in `directory`; what is there and still true stays untouched.

    A changed mask rewrites the weights and keeps the latent; a changed image, bucket or encoder encodes again. Pictures
    of one bucket go through the encoder `batch_size` at a time. Broken off, the next call goes on where this one
    stopped, and until then the cache does not open.

    Returns the cache and the report {"items": [{"name", "state": encoded|weights rewritten|unchanged, "origin",
    "coverage", "bucket", "latent"}], "counts", "orphans": files of no item, "messages"}. MaskMissingError, ImageError
    and SettingError name the item.
    """
    if not dataset.items:
        left = len(dataset.left_out)
        raise DatasetError(f"The dataset has no items ({left} were left out), so there is nothing to cache.")
    if batch_size < 1:
        raise SettingError(f"batch_size is {batch_size}; it must be at least 1.")
    if directory.exists() and not directory.is_dir():
        raise PathError(f"The cache_directory {directory} is a file; give a folder.")
    if not (directory / INDEX_FILE).exists() and holds_reference_files(directory):
        raise CacheError(f"{directory} is another trainer's cache, which is only read; choose another cache_directory.")
    for item in dataset.items:
        check_required(item)
    rules = CachingRules(encoder, directory, mask_storage, one_frame)
    plans: list[ItemPlan] = []
    for item in dataset.items:
        progress.update(0, len(dataset.items), f"looking at {item.name}")
        plans.append(plan_item(item, rules))
    _make(plans, rules, batch_size, progress)
    entries = tuple(_entry(plan, rules) for plan in plans)
    before = _index_before(directory)
    text_encoder = None if before is None else before.text_encoder
    index = CacheIndex(encoder.architecture, encoder.identity, entries, text_encoder)
    if index != before:
        write_index(directory, index)
    return open_cache(directory), _report(plans, entries, directory)


def _make(plans: Sequence[ItemPlan], rules: CachingRules, batch_size: int, progress: Progress) -> None:
    work = [plan for plan in plans if plan.action is not Action.NOTHING]
    done = len(plans) - len(work)
    if work:
        # Until the last file is written the cache must not open: half a dataset would train without a word.
        before = _index_before(rules.directory)
        text_encoder = None if before is None else before.text_encoder
        encoder = rules.encoder
        unfinished = CacheIndex(encoder.architecture, encoder.identity, (), text_encoder, complete=False)
        write_index(rules.directory, unfinished)
    for batch in _batches(work, batch_size):
        progress.update(done, len(plans), batch[0].item.name)
        header = batch[0].header
        if header is None:
            _encode(batch, rules)
        else:
            _rewrite_weights(batch[0], header, rules)
        done += len(batch)
    progress.update(done, len(plans))


def _batches(work: Sequence[ItemPlan], batch_size: int) -> Iterator[Sequence[ItemPlan]]:
    """What only needs its weights, one by one; then what needs its latent, batches of one bucket."""
    for plan in work:
        if plan.action is Action.WEIGHTS:
            yield [plan]
    to_encode = sorted((plan for plan in work if plan.action is Action.ENCODE), key=lambda plan: plan.bucket)
    for _, group in groupby(to_encode, key=lambda plan: plan.bucket):
        same = list(group)
        for start in range(0, len(same), batch_size):
            yield same[start : start + batch_size]


def _rewrite_weights(plan: ItemPlan, header: EntryHeader, rules: CachingRules) -> None:
    try:
        latent_CThw = read_latent(plan.path, header.latent_shape)
    except CacheError:
        _encode([plan], rules)  # the header is whole, the latent is not
        return
    _write(plan, rules, latent_CThw, load_item(plan.item))


def _encode(plans: Sequence[ItemPlan], rules: CachingRules) -> None:
    loaded = [load_item(plan.item) for plan in plans]
    fitted = [fit_image(item.rgb_HWC, plan.bucket) for item, plan in zip(loaded, plans, strict=True)]
    if rules.one_frame is None:
        latents_BCThw = _encoded(fitted, plans, rules.encoder)
    else:
        controls = [_control(plan, rgb_HWC) for plan, rgb_HWC in zip(plans, fitted, strict=True)]
        target = _encoded(fitted, plans, rules.encoder)
        control = _encoded(controls, plans, rules.encoder)
        frames = [target if index == rules.one_frame.target_index else control for index in rules.one_frame.frames]
        latents_BCThw = torch.cat(frames, dim=2)
    for plan, latent_CThw, item in zip(plans, latents_BCThw, loaded, strict=True):
        _write(plan, rules, latent_CThw, item)


def _encoded(pictures: Sequence[np.ndarray], plans: Sequence[ItemPlan], encoder: LatentEncoder) -> torch.Tensor:
    rgb_BTHWC = torch.from_numpy(np.stack(pictures))[:, None].float() / 255
    with torch.no_grad():
        latents_BCThw = encoder.encode(rgb_BTHWC).float().cpu()
    width, height = plans[0].bucket
    stride = encoder.spatial_stride
    grid = (height // stride, width // stride)
    if latents_BCThw.ndim != 5 or len(latents_BCThw) != len(plans) or tuple(latents_BCThw.shape[2:]) != (1, *grid):
        raise CacheError(
            f"The encoder {encoder.identity} gave latents of shape {tuple(latents_BCThw.shape)} for {len(plans)} "
            f"pictures of {width}x{height}; (B, C, 1, {grid[0]}, {grid[1]}) was expected: its stride is not {stride}."
        )
    for plan, latent in zip(plans, latents_BCThw, strict=True):
        if not bool(torch.isfinite(latent).all()):
            raise CacheError(f"The encoder gave values that are not finite for {plan.item.name}; try it in float32.")
    return latents_BCThw


def _control(plan: ItemPlan, own_HWC: np.ndarray) -> np.ndarray:
    if plan.item.control_path is None:
        return own_HWC
    return fit_image(load_image(plan.item.control_path)[0], plan.bucket)


def _write(plan: ItemPlan, rules: CachingRules, latent_CThw: torch.Tensor, loaded: LoadedItem) -> None:
    frames, height, width = latent_CThw.shape[1:]
    weights_1Thw: torch.Tensor | None = None
    coverage = 1.0
    if loaded.weights_HW is not None:
        weights_HW = fit_mask(loaded.weights_HW, loaded.size, plan.bucket)
        target_hw = to_latent_grid(torch.from_numpy(weights_HW)[None, None, None], (height, width))[0, 0, 0]
        position = 0 if rules.one_frame is None else rules.one_frame.target_position
        weights_1Thw = torch.ones(1, frames, height, width)
        weights_1Thw[0, position] = target_hw
        coverage = float(target_hw.double().mean())
    metadata = {
        "architecture": rules.encoder.architecture,
        "width": str(plan.image_size[0]),
        "height": str(plan.image_size[1]),
        "maskloss_version": FORMAT_VERSION,
        "maskloss_latents": "raw",
        "maskloss_encoder": rules.encoder.identity,
        LATENT_FINGERPRINT: plan.latent_fingerprint,
        MASK_FINGERPRINT: plan.mask_fingerprint,
        "maskloss_origin": loaded.origin.value,
        "maskloss_coverage": repr(coverage),
        "maskloss_bucket": f"{plan.bucket[0]}x{plan.bucket[1]}",
        "maskloss_source": plan.item.media_path.name,
    }
    if rules.one_frame is not None:
        metadata["maskloss_frames"] = ",".join(str(index) for index in rules.one_frame.frames)
        metadata["maskloss_target_index"] = str(rules.one_frame.target_index)
    write_entry(plan.path, latent_CThw, weights_1Thw, rules.storage, metadata)


def _entry(plan: ItemPlan, rules: CachingRules) -> CacheEntry:
    header = read_header(plan.path)
    one_frame = rules.one_frame
    return CacheEntry(
        name=plan.item.name,
        file=plan.file,
        origin=MaskOrigin(header.metadata["maskloss_origin"]),
        coverage=float(header.metadata["maskloss_coverage"]),
        repeats=plan.item.repeats,
        image_size=plan.image_size,
        bucket=plan.bucket,
        latent_shape=header.latent_shape,
        caption=plan.item.caption,
        latent_fingerprint=plan.latent_fingerprint,
        mask_fingerprint=plan.mask_fingerprint,
        file_bytes=plan.path.stat().st_size,
        sources=plan.sources,
        target_index=None if one_frame is None else one_frame.target_index,
        control_indices=() if one_frame is None else one_frame.control_indices,
    )


def _index_before(directory: Path) -> CacheIndex | None:
    try:
        return read_index(directory)
    except CacheError:
        return None  # none yet, or damaged: the files themselves say what they hold


def _report(plans: Sequence[ItemPlan], entries: Sequence[CacheEntry], directory: Path) -> dict[str, object]:
    actions = Counter(plan.action for plan in plans)
    origins = Counter(entry.origin for entry in entries)
    alpha, file, none = (origins[origin] for origin in (MaskOrigin.ALPHA, MaskOrigin.FILE, MaskOrigin.NONE))
    messages = [f"Mask sources: alpha={alpha}, file={file}, none={none}"]
    if none:
        messages.append(f"{none} items had no mask (no alpha + no file). Filled with full-weight (255).")
    orphans = orphan_files(directory, entries)
    if orphans:
        messages.append(f"{len(orphans)} files in {directory} belong to no item of the dataset and are not used.")
    return {
        "items": [
            {
                "name": entry.name, "state": plan.action.value, "origin": entry.origin.value,
                "coverage": round(entry.coverage, 6), "bucket": list(entry.bucket), "latent": list(entry.latent_shape),
            }
            for plan, entry in zip(plans, entries, strict=True)
        ],
        "counts": {
            "items": len(entries),
            **{action.value: actions[action] for action in Action},
            **{f"mask_{origin.value}": origins[origin] for origin in MaskOrigin},
            "orphans": len(orphans),
        },
        "orphans": list(orphans),
        "messages": messages,
    }  # fmt: skip
