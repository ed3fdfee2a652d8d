"""A dataset's pictures become latents on disk, with their mask weights on the latent grid.

Shapes: `_THWC`, `_BTHWC` pixels; `_CThw`, `_1Thw` the latent grid. Sizes are (width, height). A photograph has T = 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from ..data.items import Dataset, MaskOrigin
from ..data.load import LoadedClip, check_required, expected_origin, load_clip, load_clip_weights, load_item
from ..errors import CacheError, DatasetError, PathError, SettingError
from ..images import load_image
from ..progress import SILENT, Progress
from ..resample import Size, fit_image, fit_mask, to_latent_grid
from .encoders import LatentEncoder
from .entries import CacheEntry
from .entry_file import (
    CLIP_FRAMES,
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
    """Cache every photograph of `dataset`, and every clip of its videos, in `directory`; what is there and still true
    stays untouched.

    A changed mask rewrites the weights and keeps the latent; a changed image, bucket or encoder encodes again. Pictures
    of one bucket, and clips of one bucket and length, go through the encoder `batch_size` at a time. Broken off, the
    next call goes on where this one stopped, and until then the cache does not open.

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
        plans += plan_item(item, rules)
    _check_names(plans)
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
        progress.update(done, len(plans), batch[0].name)
        header = batch[0].header
        if header is None:
            _encode(batch, rules)
        else:
            _rewrite_weights(batch[0], header, rules)
        done += len(batch)
    progress.update(done, len(plans))


def _batches(work: Sequence[ItemPlan], batch_size: int) -> Iterator[Sequence[ItemPlan]]:
    """What only needs its weights, one by one; then what needs its latent, batches of one bucket and length."""
    for plan in work:
        if plan.action is Action.WEIGHTS:
            yield [plan]
    to_encode = sorted((plan for plan in work if plan.action is Action.ENCODE), key=_shape)
    for _, group in groupby(to_encode, key=_shape):
        same = list(group)
        for start in range(0, len(same), batch_size):
            yield same[start : start + batch_size]


def _shape(plan: ItemPlan) -> tuple[Size, int]:
    return plan.bucket, plan.frames


def _rewrite_weights(plan: ItemPlan, header: EntryHeader, rules: CachingRules) -> None:
    try:
        latent_CThw = read_latent(plan.path, header.latent_shape)
    except CacheError:
        _encode([plan], rules)  # the header is whole, the latent is not
        return
    if plan.clip is None:
        loaded = _photograph(plan)
        _write(plan, rules, latent_CThw, loaded.weights_THW, loaded.origin)
    else:
        weights_THW = load_clip_weights(plan.item, plan.clip, plan.bucket)
        _write(plan, rules, latent_CThw, weights_THW, expected_origin(plan.item))


def _encode(plans: Sequence[ItemPlan], rules: CachingRules) -> None:
    loaded = [
        _photograph(plan) if plan.clip is None else load_clip(plan.item, plan.clip, plan.bucket) for plan in plans
    ]
    fitted = [item.rgb_THWC for item in loaded]
    if rules.one_frame is None:
        latents_BCThw = _encoded(fitted, plans, rules.encoder)
    else:
        controls = [_control(plan, rgb_THWC) for plan, rgb_THWC in zip(plans, fitted, strict=True)]
        target = _encoded(fitted, plans, rules.encoder)
        control = _encoded(controls, plans, rules.encoder)
        frames = [target if index == rules.one_frame.target_index else control for index in rules.one_frame.frames]
        latents_BCThw = torch.cat(frames, dim=2)
    for plan, latent_CThw, item in zip(plans, latents_BCThw, loaded, strict=True):
        _write(plan, rules, latent_CThw, item.weights_THW, item.origin)


def _photograph(plan: ItemPlan) -> LoadedClip:
    """A photograph and its weights at the bucket's size, as a clip of one frame."""
    loaded = load_item(plan.item)
    rgb_THWC = fit_image(loaded.rgb_HWC, plan.bucket)[None]
    if loaded.weights_HW is None:
        return LoadedClip(rgb_THWC, None, loaded.origin)
    return LoadedClip(rgb_THWC, fit_mask(loaded.weights_HW, loaded.size, plan.bucket)[None], loaded.origin)


def _encoded(clips: Sequence[np.ndarray], plans: Sequence[ItemPlan], encoder: LatentEncoder) -> torch.Tensor:
    rgb_BTHWC = torch.from_numpy(np.stack(clips)).float() / 255
    with torch.no_grad():
        latents_BCThw = encoder.encode(rgb_BTHWC).float().cpu()
    (width, height), frames = _shape(plans[0])
    stride = encoder.spatial_stride
    grid = (1 + (frames - 1) // max(1, encoder.temporal_stride), height // stride, width // stride)
    if latents_BCThw.ndim != 5 or len(latents_BCThw) != len(plans) or tuple(latents_BCThw.shape[2:]) != grid:
        raise CacheError(
            f"The encoder {encoder.identity} gave latents of shape {tuple(latents_BCThw.shape)} for {len(plans)} "
            f"{f'clips of {frames} frames' if frames > 1 else 'pictures'} of {width}x{height}; (B, C, {grid[0]}, "
            f"{grid[1]}, {grid[2]}) was expected: its stride is not {stride}"
            f"{f', or in time not {encoder.temporal_stride}' if frames > 1 else ''}."
        )
    for plan, latent in zip(plans, latents_BCThw, strict=True):
        if not bool(torch.isfinite(latent).all()):
            raise CacheError(f"The encoder gave values that are not finite for {plan.name}; try it in float32.")
    return latents_BCThw


def _control(plan: ItemPlan, own_THWC: np.ndarray) -> np.ndarray:
    if plan.item.control_path is None:
        return own_THWC
    return fit_image(load_image(plan.item.control_path)[0], plan.bucket)[None]


def _write(
    plan: ItemPlan,
    rules: CachingRules,
    latent_CThw: torch.Tensor,
    weights_THW: np.ndarray | None,
    origin: MaskOrigin,
) -> None:
    weights_1Thw: torch.Tensor | None = None
    coverage = 1.0
    if weights_THW is not None:
        height, width = latent_CThw.shape[2:]
        stride = max(1, rules.encoder.temporal_stride)
        target_1Thw = to_latent_grid(torch.from_numpy(weights_THW)[None, None], (height, width), stride)[0]
        weights_1Thw = target_1Thw if rules.one_frame is None else _among_controls(target_1Thw, rules.one_frame)
        coverage = float(target_1Thw.double().mean())
    metadata = {
        "architecture": rules.encoder.architecture,
        "width": str(plan.image_size[0]),
        "height": str(plan.image_size[1]),
        "maskloss_version": FORMAT_VERSION,
        "maskloss_latents": "raw",
        "maskloss_encoder": rules.encoder.identity,
        LATENT_FINGERPRINT: plan.latent_fingerprint,
        MASK_FINGERPRINT: plan.mask_fingerprint,
        "maskloss_origin": origin.value,
        "maskloss_coverage": repr(coverage),
        "maskloss_bucket": f"{plan.bucket[0]}x{plan.bucket[1]}",
        "maskloss_source": plan.item.media_path.name,
    }
    if plan.clip is not None:
        metadata["frame_count"] = str(plan.frames)
        metadata[CLIP_FRAMES] = ",".join(str(number) for number in plan.clip.frames)
    if rules.one_frame is not None:
        metadata["maskloss_frames"] = ",".join(str(index) for index in rules.one_frame.frames)
        metadata["maskloss_target_index"] = str(rules.one_frame.target_index)
    write_entry(plan.path, latent_CThw, weights_1Thw, rules.storage, metadata)


def _among_controls(target_11hw: torch.Tensor, one_frame: OneFrame) -> torch.Tensor:
    """The target frame's weights at its place; the frames that are given have full weight."""
    weights_1Thw = torch.ones(1, len(one_frame.frames), *target_11hw.shape[2:])
    weights_1Thw[:, one_frame.target_position] = target_11hw[:, 0]
    return weights_1Thw


def _check_names(plans: Sequence[ItemPlan]) -> None:
    twice = [name for name, count in Counter(plan.name for plan in plans).items() if count > 1]
    if twice:
        raise DatasetError(f"A photograph is called {twice[0]}, as a clip of a video is; rename the photograph.")


def _entry(plan: ItemPlan, rules: CachingRules) -> CacheEntry:
    header = read_header(plan.path)
    one_frame = rules.one_frame
    return CacheEntry(
        name=plan.name,
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
