"""Encodes the missing entries of a cache: pictures are loaded ahead, encoded, and written with their weights.

Shapes: `_THWC`, `_BTHWC` pixels; `_CThw`, `_1Thw` the latent grid. Sizes are (width, height). A photograph has T = 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import torch

from ..dataset.crop import Rectangle
from ..dataset.items import DatasetItem, MaskOrigin
from ..dataset.load import LoadedClip, expected_origin, load_clip, load_clip_weights, load_fitted, media_size
from ..errors import CacheError, ImageError
from ..images import load_image
from ..progress import Progress
from ..resample import Size, fit_image, is_same_aspect, to_latent_grid
from ..workers import map_in_order, worker_count
from .encoders import LatentEncoder
from .entry_file import (
    CLIP_FRAMES,
    COVERAGE,
    CROP,
    LATENT_FINGERPRINT,
    MASK_FINGERPRINT,
    MASK_READ,
    NAME,
    ORIGIN,
    SOURCES_SEEN,
    VERSION,
    is_finite,
    read_header,
    read_image,
    read_latent,
    write_entry,
)
from .image_conditioning import MASK_CHANNELS, grey_like, keep_first_frame, prepend_mask
from .plan import FORMAT_VERSION, Action, CachingRules, ItemPlan, OneFrame, has_mask_facts

Batch = Sequence[ItemPlan]


def encode_missing(
    plans: Sequence[ItemPlan], rules: CachingRules, batch_size: int, progress: Progress
) -> list[ItemPlan]:
    """Carry out the plans. Entries that another process made in the meantime are left as they are.

    Returns the plans in their order, with `Action.NOTHING` for entries that were found made. CacheError and
    the errors of loading name the item.
    """
    work = [plan for plan in plans if plan.action is not Action.NOTHING]
    done = len(plans) - len(work)
    found: set[str] = set()
    for plan in (plan for plan in work if plan.action is Action.WEIGHTS):
        progress.update(done, len(plans), plan.name)
        if _is_up_to_date(plan):
            found.add(plan.name)
        else:
            _rewrite_weights(plan, rules)
        done += 1
    for is_clips, batches in groupby(_group_batches(work, batch_size), key=lambda batch: batch[0].frames > 1):
        some = list(batches)
        # A clip is large, and its encoder slow: only photographs are loaded ahead.
        workers = 1 if is_clips else worker_count()
        with closing(map_in_order(_load_unless_made, chain.from_iterable(some), workers)) as ahead:
            for batch in some:
                progress.update(done, len(plans), batch[0].name)
                loaded = [(plan, next(ahead)) for plan in batch]
                found.update(plan.name for plan, clip in loaded if clip is None)
                if missing := [(plan, clip) for plan, clip in loaded if clip is not None]:
                    _encode_and_write(missing, rules)
                done += len(batch)
    progress.update(done, len(plans))
    return [replace(plan, action=Action.NOTHING) if plan.name in found else plan for plan in plans]


def _group_batches(work: Sequence[ItemPlan], batch_size: int) -> Iterator[Batch]:
    """Batches of what is to be encoded, each of one bucket and length, photographs before clips."""
    to_encode = sorted((plan for plan in work if plan.action is Action.ENCODE), key=_shape)
    for _, group in groupby(to_encode, key=_shape):
        same = list(group)
        for start in range(0, len(same), batch_size):
            yield same[start : start + batch_size]


def _shape(plan: ItemPlan) -> tuple[int, Size]:
    return plan.frames, plan.bucket


def _is_up_to_date(plan: ItemPlan) -> bool:
    if not plan.path.exists():
        return False
    try:
        metadata = read_header(plan.path).metadata
    except CacheError:
        return False
    wanted = {LATENT_FINGERPRINT: plan.latent_fingerprint, MASK_FINGERPRINT: plan.mask_fingerprint}
    return has_mask_facts(metadata) and all(metadata.get(tag) == fingerprint for tag, fingerprint in wanted.items())


def _load_unless_made(plan: ItemPlan) -> LoadedClip | None:
    """The pixels to encode, or None where the entry has been made since it was planned."""
    return None if _is_up_to_date(plan) else _load(plan)


def _load(plan: ItemPlan) -> LoadedClip:
    if plan.clip is None:
        return load_fitted(plan.item, plan.bucket)
    return load_clip(plan.item, plan.clip, plan.bucket)


def _rewrite_weights(plan: ItemPlan, rules: CachingRules) -> None:
    image_CThw: torch.Tensor | None = None
    try:
        shape = read_header(plan.path).latent_shape
        latent_CThw = read_latent(plan.path, shape, plan.latent_fingerprint)
        if rules.settings.image_conditioning:
            image_CThw = read_image(plan.path, (MASK_CHANNELS + shape[0], *shape[1:]), plan.latent_fingerprint)
    except CacheError:
        _encode_and_write([(plan, _load(plan))], rules)  # the header was whole, the latent is not
        return
    if plan.clip is None:
        loaded = load_fitted(plan.item, plan.bucket)
        _write_entry(plan, rules, latent_CThw, image_CThw, loaded.weights_THW, loaded.origin)
    else:
        weights_THW = load_clip_weights(plan.item, plan.clip, plan.bucket)
        _write_entry(plan, rules, latent_CThw, image_CThw, weights_THW, expected_origin(plan.item))


def _encode_and_write(loaded: Sequence[tuple[ItemPlan, LoadedClip]], rules: CachingRules) -> None:
    plans = [plan for plan, _ in loaded]
    rgb_BTHWC = _stack_pixels([clip.rgb_THWC for _, clip in loaded])
    images_BCThw: torch.Tensor | None = None
    if rules.settings.one_frame is None:
        latents_BCThw = _encode_pixels(rgb_BTHWC, plans, rules.encoder)
        if rules.settings.image_conditioning:
            shown_BCThw = latents_BCThw
            if rgb_BTHWC.shape[1] > 1:
                shown_BCThw = _encode_pixels(keep_first_frame(rgb_BTHWC), plans, rules.encoder)
            images_BCThw = prepend_mask(shown_BCThw, [frame == 0 for frame in range(shown_BCThw.shape[2])])
    else:
        latents_BCThw, images_BCThw = _encode_one_frame(loaded, rgb_BTHWC, rules, rules.settings.one_frame)
    for index, (plan, clip) in enumerate(loaded):
        image_CThw = None if images_BCThw is None else images_BCThw[index]
        _write_entry(plan, rules, latents_BCThw[index], image_CThw, clip.weights_THW, clip.origin)


def _encode_one_frame(
    loaded: Sequence[tuple[ItemPlan, LoadedClip]], rgb_BTHWC: torch.Tensor, rules: CachingRules, one_frame: OneFrame
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Encode each frame on its own; the conditioning is the control frames, and grey in the target's place."""
    plans = [plan for plan, _ in loaded]
    target = _encode_pixels(rgb_BTHWC, plans, rules.encoder)
    control = _encode_pixels(
        _stack_pixels([_load_control(plan, clip.rgb_THWC) for plan, clip in loaded]), plans, rules.encoder
    )
    learnt = [index == one_frame.target_index for index in one_frame.frames]
    latents_BCThw = torch.cat([target if own else control for own in learnt], dim=2)
    if not rules.settings.image_conditioning:
        return latents_BCThw, None
    grey = _encode_pixels(grey_like(rgb_BTHWC[:1]), plans[:1], rules.encoder).expand_as(control)
    shown_BCThw = torch.cat([grey if own else control for own in learnt], dim=2)
    return latents_BCThw, prepend_mask(shown_BCThw, [not own for own in learnt])


def _stack_pixels(clips: Sequence[np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(clips)).float() / 255


def _encode_pixels(rgb_BTHWC: torch.Tensor, plans: Batch, encoder: LatentEncoder) -> torch.Tensor:
    with torch.no_grad():
        latents_BCThw = encoder.encode(rgb_BTHWC).float().cpu()
    frames, (width, height) = _shape(plans[0])
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
        if not is_finite(latent):
            raise CacheError(f"The encoder gave values that are not finite for {plan.name}; try it in float32.")
    return latents_BCThw


def _load_control(plan: ItemPlan, own_THWC: np.ndarray) -> np.ndarray:
    if plan.item.control_path is None:
        return own_THWC
    if plan.cut is None:
        return fit_image(load_image(plan.item.control_path, plan.bucket)[0], plan.bucket)[None]
    return fit_image(_cut_control(plan.item, plan.item.control_path, plan.cut), plan.bucket)[None]


def _cut_control(item: DatasetItem, path: Path, cut: Rectangle) -> np.ndarray:
    """The same part of the control image, which first gets the photograph's size where it has another one."""
    rgb_HWC, whole = load_image(path)[0], media_size(item)
    size = rgb_HWC.shape[1], rgb_HWC.shape[0]
    if not is_same_aspect(whole, size):
        raise ImageError(
            f"The control image {path} is {size[0]}x{size[1]} and the photograph of the crop {item.name} "
            f"{whole[0]}x{whole[1]}; give one of its aspect, so that the same part can be cut out."
        )
    if size != whole:
        rgb_HWC = fit_image(rgb_HWC, whole)
    return cut.cut(rgb_HWC)


def _write_entry(
    plan: ItemPlan,
    rules: CachingRules,
    latent_CThw: torch.Tensor,
    image_CThw: torch.Tensor | None,
    weights_THW: np.ndarray | None,
    origin: MaskOrigin,
) -> None:
    one_frame = rules.settings.one_frame
    weights_1Thw: torch.Tensor | None = None
    coverage = 1.0
    if weights_THW is not None:
        height, width = latent_CThw.shape[2:]
        stride = max(1, rules.encoder.temporal_stride)
        target_1Thw = to_latent_grid(torch.from_numpy(weights_THW)[None, None], (height, width), stride)[0]
        weights_1Thw = target_1Thw if one_frame is None else _add_control_weights(target_1Thw, one_frame)
        coverage = float(target_1Thw.double().mean())
    metadata = {
        "architecture": rules.encoder.architecture,
        "width": str(plan.image_size[0]),
        "height": str(plan.image_size[1]),
        VERSION: FORMAT_VERSION,
        "maskloss_latents": "raw",
        "maskloss_encoder": rules.encoder.identity,
        LATENT_FINGERPRINT: plan.latent_fingerprint,
        MASK_FINGERPRINT: plan.mask_fingerprint,
        MASK_READ: plan.mask_read,
        ORIGIN: origin.value,
        COVERAGE: repr(coverage),
        "maskloss_bucket": f"{plan.bucket[0]}x{plan.bucket[1]}",
        "maskloss_source": plan.item.media_path.name,
        SOURCES_SEEN: plan.seen,
    }
    if not plan.file.startswith(f"{plan.name}_"):
        metadata[NAME] = plan.name
    if plan.crop:
        metadata[CROP] = plan.crop
    if plan.clip is not None:
        metadata["frame_count"] = str(plan.frames)
        metadata[CLIP_FRAMES] = ",".join(str(number) for number in plan.clip.frames)
    if one_frame is not None:
        metadata["maskloss_frames"] = ",".join(str(index) for index in one_frame.frames)
        metadata["maskloss_target_index"] = str(one_frame.target_index)
    write_entry(plan.path, latent_CThw, weights_1Thw, rules.settings.storage, metadata, image_CThw)


def _add_control_weights(target_11hw: torch.Tensor, one_frame: OneFrame) -> torch.Tensor:
    """The target frame's weights at its place; the frames that are given have full weight."""
    weights_1Thw = torch.ones(1, len(one_frame.frames), *target_11hw.shape[2:])
    weights_1Thw[:, one_frame.target_position] = target_11hw[:, 0]
    return weights_1Thw
