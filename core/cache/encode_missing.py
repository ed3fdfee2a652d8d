"""Encodes the missing entries of a cache: pictures are loaded ahead, encoded, and written with their weights.

Shapes: `_THWC`, `_BTHWC` pixels; `_CThw`, `_1Thw` the latent grid. Sizes are (width, height). A photograph has T = 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain, groupby

import numpy as np
import torch

from ..dataset.items import MaskOrigin
from ..dataset.load import LoadedClip, expected_origin, load_clip, load_clip_weights, load_fitted
from ..dataset.weights_alone import load_fitted_weights
from ..errors import CacheError
from ..images import load_image
from ..progress import Progress
from ..resample import Size, fit_image, to_latent_grid
from ..workers import map_in_order, worker_count
from .encode_pixels import encode_pixels, stack_pixels
from .encoders import frame_groups
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
    read_header,
    read_image,
    read_latent,
    read_references,
    write_entry,
)
from .image_conditioning import grey_like, keep_first_frame, prepend_mask
from .inpainting import inpaint_conditioning, vace_conditioning
from .plan import FORMAT_VERSION, Action, CachingRules, ItemPlan, OneFrame, has_mask_facts
from .references import cut_control, encode_references

Batch = Sequence[ItemPlan]


@dataclass(frozen=True, eq=False)
class _Given:
    """An entry's latent, and what an image-to-video or an edit model is given beside it."""

    latent_CThw: torch.Tensor
    image_CThw: torch.Tensor | None
    references: Sequence[torch.Tensor]


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
        found.update(rewrite_weights(plan, rules))
        done += 1
    for is_clips, batches in groupby(group_batches(work, batch_size), key=lambda batch: batch[0].frames > 1):
        some = list(batches)
        # A clip is large, and its encoder slow: only photographs are loaded ahead.
        workers = 1 if is_clips else worker_count()
        with closing(map_in_order(load_unless_made, chain.from_iterable(some), workers)) as ahead:
            for batch in some:
                progress.update(done, len(plans), batch[0].name)
                loaded = [(plan, next(ahead)) for plan in batch]
                found.update(encode_batch(loaded, rules))
                done += len(batch)
    progress.update(done, len(plans))
    return mark_found(plans, found)


def mark_found(plans: Sequence[ItemPlan], found: Set[str]) -> list[ItemPlan]:
    """The plans, with nothing left to do for entries of the names `found`."""
    return [replace(plan, action=Action.NOTHING) if plan.name in found else plan for plan in plans]


def encode_batch(loaded: Sequence[tuple[ItemPlan, LoadedClip | None]], rules: CachingRules) -> list[str]:
    """Encode and write the entries of a batch that have pixels; the names of the others, which were found made."""
    if missing := [(plan, clip) for plan, clip in loaded if clip is not None]:
        _encode_and_write(missing, rules)
    return [plan.name for plan, clip in loaded if clip is None]


def rewrite_weights(plan: ItemPlan, rules: CachingRules) -> list[str]:
    """Write the weights anew beside the latent that is there; the entry's name where it was found made."""
    if _is_up_to_date(plan):
        return [plan.name]
    _rewrite_weights(plan, rules)
    return []


def group_batches(work: Sequence[ItemPlan], batch_size: int) -> Iterator[Batch]:
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


def load_unless_made(plan: ItemPlan) -> LoadedClip | None:
    """The pixels to encode, or None where the entry has been made since it was planned."""
    return None if _is_up_to_date(plan) else _load(plan)


def _load(plan: ItemPlan) -> LoadedClip:
    if plan.clip is None:
        return load_fitted(plan.item, plan.bucket)
    return load_clip(plan.item, plan.clip, plan.bucket)


def _rewrite_weights(plan: ItemPlan, rules: CachingRules) -> None:
    image_CThw: torch.Tensor | None = None
    references: Sequence[torch.Tensor] = ()
    try:
        shape = read_header(plan.path).latent_shape
        latent_CThw = read_latent(plan.path, shape, plan.latent_fingerprint)
        if rules.settings.image_conditioning:
            image_CThw = read_image(plan.path, (rules.image_channels(shape[0]), *shape[1:]), plan.latent_fingerprint)
        if plan.references:
            references = read_references(plan.path, len(plan.references), plan.latent_fingerprint)
    except CacheError:
        _encode_and_write([(plan, _load(plan))], rules)  # the header was whole, the latent is not
        return
    given = _Given(latent_CThw, image_CThw, references)
    if plan.clip is None:
        weights_THW, origin = load_fitted_weights(plan.item, plan.bucket)
        _write_entry(plan, rules, given, weights_THW, origin)
    else:
        weights_THW = load_clip_weights(plan.item, plan.clip, plan.bucket)
        _write_entry(plan, rules, given, weights_THW, expected_origin(plan.item))


def _encode_and_write(loaded: Sequence[tuple[ItemPlan, LoadedClip]], rules: CachingRules) -> None:
    names = [plan.name for plan, _ in loaded]
    rgb_BTHWC = stack_pixels([clip.rgb_THWC for _, clip in loaded])
    images_BCThw: torch.Tensor | None = None
    if rules.settings.one_frame is None:
        latents_BCThw = encode_pixels(rgb_BTHWC, names, rules.encoder)
        if rules.fills_holes:
            weights = [clip.weights_THW for _, clip in loaded]
            holes = vace_conditioning if rules.is_vace else inpaint_conditioning
            images_BCThw = holes(rgb_BTHWC, weights, names, rules.encoder)
        elif rules.settings.image_conditioning:
            shown_BCThw = latents_BCThw
            if rgb_BTHWC.shape[1] > 1:
                shown_BCThw = encode_pixels(keep_first_frame(rgb_BTHWC, rules.shows_last), names, rules.encoder)
            given = [frame == 0 for frame in range(shown_BCThw.shape[2])]
            images_BCThw = prepend_mask(shown_BCThw, given, rules.shows_last)
    else:
        latents_BCThw, images_BCThw = _encode_one_frame(loaded, rgb_BTHWC, rules, rules.settings.one_frame)
    for index, (plan, clip) in enumerate(loaded):
        image_CThw = None if images_BCThw is None else images_BCThw[index]
        references = encode_references(plan.references, plan.name, rules.encoder)
        given = _Given(latents_BCThw[index], image_CThw, references)
        _write_entry(plan, rules, given, clip.weights_THW, clip.origin)


def _encode_one_frame(
    loaded: Sequence[tuple[ItemPlan, LoadedClip]], rgb_BTHWC: torch.Tensor, rules: CachingRules, one_frame: OneFrame
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Encode each frame on its own; the conditioning is the control frames, and grey in the target's place."""
    names = [plan.name for plan, _ in loaded]
    target = encode_pixels(rgb_BTHWC, names, rules.encoder)
    control = encode_pixels(
        stack_pixels([_load_control(plan, clip.rgb_THWC) for plan, clip in loaded]), names, rules.encoder
    )
    learnt = [index == one_frame.target_index for index in one_frame.frames]
    latents_BCThw = torch.cat([target if own else control for own in learnt], dim=2)
    if not rules.settings.image_conditioning:
        return latents_BCThw, None
    grey = encode_pixels(grey_like(rgb_BTHWC[:1]), names[:1], rules.encoder).expand_as(control)
    shown_BCThw = torch.cat([grey if own else control for own in learnt], dim=2)
    return latents_BCThw, prepend_mask(shown_BCThw, [not own for own in learnt])


def _load_control(plan: ItemPlan, own_THWC: np.ndarray) -> np.ndarray:
    if plan.item.control_path is None:
        return own_THWC
    if plan.cut is None:
        return fit_image(load_image(plan.item.control_path, plan.bucket)[0], plan.bucket)[None]
    return fit_image(cut_control(plan.item, plan.item.control_path, plan.cut), plan.bucket)[None]


def _write_entry(
    plan: ItemPlan,
    rules: CachingRules,
    given: _Given,
    weights_THW: np.ndarray | None,
    origin: MaskOrigin,
) -> None:
    one_frame = rules.settings.one_frame
    latent_CThw = given.latent_CThw
    weights_1Thw: torch.Tensor | None = None
    coverage = 1.0
    if weights_THW is not None:
        height, width = latent_CThw.shape[2:]
        groups = frame_groups(rules.encoder, len(weights_THW))
        target_1Thw = to_latent_grid(torch.from_numpy(weights_THW)[None, None], (height, width), groups)[0]
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
    storage = rules.settings.storage
    write_entry(plan.path, latent_CThw, weights_1Thw, storage, metadata, given.image_CThw, given.references)


def _add_control_weights(target_11hw: torch.Tensor, one_frame: OneFrame) -> torch.Tensor:
    """The target frame's weights at its place; the frames that are given have full weight."""
    weights_1Thw = torch.ones(1, len(one_frame.frames), *target_11hw.shape[2:])
    weights_1Thw[:, one_frame.target_position] = target_11hw[:, 0]
    return weights_1Thw
