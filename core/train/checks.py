"""What is looked at before the first step: whether the run can mean what its settings say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..cache.chosen_entries import ChosenEntries
from ..cache.entries import CacheEntry
from ..cache.image_conditioning import frame_numbers
from ..cache.store import LatentCache
from ..dataset.items import MaskOrigin
from ..errors import CacheError, MaskMissingError, TrainingError
from ..first_names import first_names
from ..mask_weights import MaskLossSettings, Normalization
from ..warning import warn
from .config import TrainConfig
from .denoiser import Denoiser, Family
from .draws import timesteps
from .metrics import LossPoint
from .order import learnt_entries, regularisation_notes, stream_seed
from .output_preservation import preservation_notes
from .recipe import TrainingRecipe
from .references import check_reference_routing, reference_notes
from .routed_window import routing_note

_RULE = "=" * 60
_LOW_COVERAGE = 0.02


@dataclass(frozen=True, eq=False)
class Split:
    """What is trained on and what is evaluated; `validation_cache` holds the evaluated entries."""

    training: Sequence[CacheEntry]
    validation: Sequence[CacheEntry]
    validation_cache: LatentCache


def split_cache(cache: LatentCache, validation_cache: LatentCache | None, config: TrainConfig) -> Split:
    """Evaluate on `validation_cache`, or on a fraction of the source photographs, with all that was made from them."""
    if validation_cache is not None and config.validation_split > 0:
        raise TrainingError(
            f"validation_split is {config.validation_split} and a validation_cache is connected; use one of the two."
        )
    if validation_cache is not None:
        return Split(cache.entries, learnt_entries(validation_cache.entries), validation_cache)
    if config.validation_split == 0:
        return Split(cache.entries, (), cache)
    sources = sorted({_source(entry) for entry in cache.entries if not entry.regularisation})
    if len(sources) < 2:
        raise TrainingError(
            f"validation_split is {config.validation_split}, but the cache has {len(sources)} source photograph; "
            "at least 2 are needed."
        )
    count = min(max(1, round(config.validation_split * len(sources))), len(sources) - 1)
    generator = torch.Generator().manual_seed(stream_seed("split", config.seed))
    held_out = {sources[index] for index in torch.randperm(len(sources), generator=generator)[:count].tolist()}
    held = [_source(entry) in held_out for entry in cache.entries]
    training = ChosenEntries(cache.entries, (not each for each in held))
    return Split(training, ChosenEntries(cache.entries, held), cache)


def check_training(denoiser: Denoiser, recipe: TrainingRecipe, split: Split) -> list[str]:
    """Raise where training cannot start, and warn of what is perhaps not meant so. Returns the banner if masks act."""
    settings, config = recipe.settings, recipe.config
    _check_cache(denoiser, recipe.cache, config.caption_dropout)
    check_reference_routing(denoiser, split.training, config)
    if split.validation_cache is not recipe.cache:
        _check_cache(denoiser, split.validation_cache)
    if config.min_snr_gamma > 0 and denoiser.family is Family.FLOW:
        raise TrainingError(
            f"min_snr_gamma is {config.min_snr_gamma}, but {denoiser.identity} is a flow model, for which min-SNR "
            "weighting is not defined; set it to 0."
        )
    for text in (*denoiser.notes, *_find_unused(denoiser, split.training)):
        warn(text)
    entries = learnt_entries(split.training)
    kept = regularisation_notes(split.training)
    masked = [entry for entry in entries if entry.origin is not MaskOrigin.NONE]
    if settings is None:
        if masked:
            warn(
                f"{len(masked)} of {len(entries)} cached items have a mask, but no mask_loss is connected: this "
                "is plain training in which the masks do nothing."
            )
        return [*routing_note(recipe.cache, split.training, None, config, denoiser), *kept]
    _check_masks(entries, masked, settings)
    _check_something_counts(entries, settings)
    _warn_of_masks(entries, settings)
    routing = routing_note(recipe.cache, split.training, settings, config, denoiser)
    held = preservation_notes(recipe.cache, split.training, settings)
    return [banner(entries, settings), *_prior_note(denoiser, settings, config), *held, *routing, *kept]


def _prior_note(denoiser: Denoiser, settings: MaskLossSettings, config: TrainConfig) -> list[str]:
    """How often a gated teacher is run, which is what prior preservation costs."""
    if settings.prior_weight == 0 or settings.prior_min_t == 0:
        return []
    t = timesteps((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000, config, denoiser)
    fraction = float((t > settings.prior_min_t).float().mean())
    note = f"Prior preservation: the teacher is run for {fraction:.0%} of samples (t above {settings.prior_min_t:g})."
    if fraction == 0:
        warn(f"{note} It does nothing so: lower prior_min_t, or set prior_weight to 0.")
    return [note]


def banner(entries: Sequence[CacheEntry], settings: MaskLossSettings) -> str:
    """Says loudly that masks act, with which values, from which sources, and how much of the pictures they cover."""
    origins = [entry.origin for entry in entries]
    alpha, file, none = (origins.count(each) for each in (MaskOrigin.ALPHA, MaskOrigin.FILE, MaskOrigin.NONE))
    lines = [
        _RULE,
        "MASK-WEIGHTED LOSS TRAINING ENABLED",
        _RULE,
        f"  mask_min_weight: {settings.min_weight:g}",
        f"  mask_gamma: {settings.gamma:g}",
        f"  normalization: {settings.normalization.value}",
        f"  loss: {settings.loss.value}",
        f"  blur: {settings.blur}  invert: {settings.invert}  probability: {settings.probability:g}",
        f"  area_beta: {settings.area_beta:g}  prior_weight: {settings.prior_weight:g}"
        f"  prior_threshold: {settings.prior_threshold:g}",
        f"  prior_teacher: {settings.prior_teacher.value}  prior_schedule: {settings.prior_schedule.value}"
        f"  prior_ema_decay: {settings.prior_ema_decay:g}",
        f"  prior_min_t: {settings.prior_min_t:g}  prior_decay: {settings.prior_decay.value}"
        f" (start {settings.prior_decay_start:g})  prior_warmup_steps: {settings.prior_warmup_steps}"
        f"  prior_exclusive: {settings.prior_exclusive}",
        f"  dop_weight: {settings.dop_weight:g}  dop_region: {settings.dop_region.value}"
        f"  trigger: {settings.trigger!r}  class_noun: {settings.class_noun!r}",
        "-" * 60,
        f"  Mask sources: alpha={alpha}, file={file}, none={none}",
        f"  coverage: {coverage(entries):.1%} (mean weight of all items)",
        _RULE,
    ]
    return "\n".join(lines)


def coverage(entries: Sequence[CacheEntry]) -> float:
    """Mean cached weight over the items, each as often as it repeats."""
    return sum(entry.coverage * entry.repeats for entry in entries) / sum(entry.repeats for entry in entries)


def _warn_of_masks(entries: Sequence[CacheEntry], settings: MaskLossSettings) -> None:
    for idle in settings.settings_without_effect():
        warn(f"{idle}.")
    filled = sum(entry.origin is MaskOrigin.NONE for entry in entries)
    if filled:
        warn(f"{filled} items had no mask (no alpha + no file). Filled with full-weight (255).")
    covered = 1.0 - coverage(entries) if settings.invert else coverage(entries)
    if even := _even_masks(entries, settings):
        warn(even)
    elif covered < _LOW_COVERAGE:
        warn(
            f"The masks weigh only {covered:.2%} of the pictures on average, so the loss says little; look at the "
            "weights with MaskLossPreviewCache, and at mask polarity."
        )


def _even_masks(entries: Sequence[CacheEntry], settings: MaskLossSettings) -> str:
    """What masks do of which each is black or white all over, and so divides out of the weighted mean; empty where
    they are others, or where items count differently by them."""
    shown = [1.0 if entry.origin is MaskOrigin.NONE else abs(settings.invert - entry.coverage) for entry in entries]
    weights = {weight * (1 - settings.min_weight) + settings.min_weight for weight in shown}
    if not set(shown) <= {0.0, 1.0} or (len(weights) > 1 and settings.normalization is not Normalization.PER_SAMPLE):
        return ""
    if 0.0 in shown and (settings.min_weight == 0 or settings.area_beta > 0):
        return ""
    masks = [entry.coverage for entry in entries if entry.origin is not MaskOrigin.NONE]
    kinds = [f"{count} {kind}" for kind, count in (("black", masks.count(0.0)), ("white", masks.count(1.0))) if count]
    floor = f" (black ones by min_weight {settings.min_weight:g})" if 0.0 in shown else ""
    prior = ", with prior preservation over all of each black one" if 0.0 in shown and settings.prior_weight > 0 else ""
    return (
        f"The masks are the same everywhere in their pictures ({' and '.join(kinds)}), so every pixel of a picture "
        f"counts alike{floor}: this equals training without a mask{prior}. White is what is learnt: look at the masks "
        "with MaskLossPreviewCache, build or correct them and cache the latents again."
    )


def _find_unused(denoiser: Denoiser, entries: Sequence[CacheEntry]) -> list[str]:
    unused = reference_notes(denoiser, entries)
    if not denoiser.image_channels and any(entry.image_channels for entry in entries):
        unused.append(
            "The cache holds what an image-to-video or an inpainting model is given; this one is given text alone and "
            "ignores it."
        )
    return unused


def _check_masks(entries: Sequence[CacheEntry], masked: Sequence[CacheEntry], settings: MaskLossSettings) -> None:
    if not masked:
        raise TrainingError(
            "FATAL: mask loss is enabled but the cache has no mask_weights! Give the dataset masks (alpha_mask on, a "
            "mask_directory, or MaskLossDatasetBuildMasks), cache the latents again, and train on that cache; or "
            "disconnect mask_loss for plain training."
        )
    missing = [entry.name for entry in entries if entry.origin is MaskOrigin.NONE]
    if settings.strict and missing:
        raise MaskMissingError(
            f"strict is on and {len(missing)} of {len(entries)} cached items have no mask: {first_names(missing)}. "
            "Give them masks and cache again, or turn strict off."
        )


def _check_something_counts(entries: Sequence[CacheEntry], settings: MaskLossSettings) -> None:
    """Where no weight of any entry will ever be above 0, training would give a LoRA of zeros."""
    if (settings.min_weight > 0 and settings.area_beta == 0) or settings.probability < 1:
        return
    nothing = 1.0 if settings.invert else 0.0
    if all(entry.origin is not MaskOrigin.NONE and entry.coverage == nothing for entry in entries):
        floor = "area_beta multiplies their loss by 0" if settings.area_beta > 0 else "min_weight is 0"
        kind = "white everywhere, and invert is on" if settings.invert else f"black everywhere, and {floor}"
        raise TrainingError(
            f"There is nothing to train on: the masks of all {len(entries)} cached items are {kind} "
            f"({first_names([entry.name for entry in entries])}). White is what is learnt: look at the masks with "
            "MaskLossPreviewCache, build or correct them and cache the latents again, or give the background some "
            "weight with min_weight (and area_beta 0)."
        )


def refuse_nothing_learnt(points: Sequence[LossPoint]) -> None:
    """TrainingError when in no step of a run anything counted, so that its LoRA is what it began with."""
    if points and all(point.loss == 0 and point.grad_norm == 0 for point in points):
        names = sorted({name for point in points for name in point.near_zero})
        why = (
            f"the masks of all that was trained are empty on the latent grid ({first_names(names)})"
            if names
            else ("no gradient came from the loss")
        )
        raise TrainingError(
            f"Nothing was learnt in {len(points)} steps: {why}, so the LoRA is what it began with and is not kept. "
            "Look at the masks with MaskLossPreviewCache, build or correct them and cache the latents again, give the "
            "background some weight with min_weight, or train for more steps, in which other items come."
        )


def _check_cache(denoiser: Denoiser, cache: LatentCache, caption_dropout: float = 0.0) -> None:
    if not cache.entries:
        raise CacheError(f"The cache {cache.directory} is empty; cache a dataset into it first.")
    if stale := cache.stale_entries or cache.find_stale_entries():
        raise CacheError(
            f"{len(stale)} items of the cache {cache.directory} changed after they were cached: "
            f"{first_names([f'{entry.name} ({entry.reason})' for entry in stale])}. Cache the dataset again."
        )
    if cache.text_encoder is None:
        raise CacheError(f"The cache {cache.directory} has no captions; run MaskLossCacheText on it first.")
    missing = cache.missing_captions()
    captions = {entry.caption for entry in cache.entries}
    if caption_dropout > 0 and "" in missing and "" not in captions:
        raise CacheError(
            f"caption_dropout is {caption_dropout:g}, and the cache {cache.directory} has no text for the empty "
            "caption, which is trained instead then: run MaskLossCacheText on it, or set caption_dropout to 0."
        )
    if missing := [caption for caption in missing if caption in captions]:
        raise CacheError(
            f"The cache {cache.directory} has no text for {len(missing)} captions: "
            f"{first_names([repr(caption) for caption in missing])}. Run MaskLossCacheText on it again."
        )
    channels = {entry.latent_shape[0] for entry in cache.entries}
    if channels != {denoiser.latent_channels}:
        raise CacheError(
            f"The cache {cache.directory} has latents of {sorted(channels)} channels (made by {cache.architecture}), "
            f"the model takes {denoiser.latent_channels}; cache the dataset with this model's VAE."
        )
    _check_image_conditioning(denoiser, cache)


def _check_image_conditioning(denoiser: Denoiser, cache: LatentCache) -> None:
    one_frame = [entry for entry in cache.entries if entry.target_index is not None]
    if one_frame and not denoiser.image_channels:
        raise CacheError(
            f"The cache {cache.directory} is for one-frame training ({first_names([entry.name for entry in one_frame])}"
            "), which takes an image-to-video model, and this one is given text alone; connect such a model, or cache "
            "the dataset with one_frame off."
        )
    bare = [entry.name for entry in cache.entries if entry.image_channels != denoiser.image_channels]
    if denoiser.image_channels and bare:
        raise CacheError(
            f"The model takes {denoiser.image_channels} channels beside its latent, a first frame and its mask or a "
            f"picture with a hole, and the cache {cache.directory} has none for {len(bare)} entries "
            f"({first_names(bare)}); cache the dataset again with image_conditioning on (for WAN VACE with "
            "architecture vace, too), or train a text-to-image or text-to-video model on it."
        )
    for indices in sorted({frame_numbers(entry) for entry in one_frame}):
        if not denoiser.can_place(indices):
            raise CacheError(
                f"The cache {cache.directory} has frames at {list(indices)}, and the model can only be told of two "
                "frames, or of more that are evenly spaced (by a ComfyUI that has the ScaleROPE node); choose other "
                "target_index or control_indices, such as 1 and 0, 2."
            )


def _source(entry: CacheEntry) -> str:
    """The photograph that an entry was made from; its name where the cache does not know (imported ones)."""
    return next((str(source.path) for source in entry.sources if source.role == "image"), entry.name)
