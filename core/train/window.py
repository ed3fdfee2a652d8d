"""One optimizer step's samples (an accumulation window), read and planned before the first forward pass: what is drawn,
the weights, and the loss normaliser.

Shapes: B batch, C channels, T latent frames, h, w latent grid. Weights are float32 in [0, 1].
Every draw of a sample comes from its own generator, seeded by the run's seed, the epoch and which occurrence of which
item it is. So it does not matter how an accumulation window is cut into micro-batches, nor whether the run was
interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..cache.entries import CacheEntry
from ..cache.store import LatentCache
from ..dataset.trigger import class_caption
from ..errors import TrainingError
from ..loss import is_near_zero, loss_normaliser
from ..mask_weights import MaskLossSettings, Normalization, area_scale, dop_region, prior_region, transform_weights
from .config import TrainConfig
from .denoiser import Denoiser, Family
from .draws import draw_samples, draw_uniform, timesteps
from .order import Occurrence, stream_seed
from .prior import prior_factors
from .ranks import ALONE, Ranks
from .routed_window import keep_tokens
from .token_routing import KeptTokens


@dataclass(frozen=True, eq=False)
class ClassSamples:
    """What differential output preservation acts on: samples of a micro-batch by their row (K of them), their captions
    with the class noun in the trigger's place, and where it acts."""

    rows: tuple[int, ...]
    text: tuple[Mapping[str, torch.Tensor], ...]
    region_K1Thw: torch.Tensor


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """Samples of one latent shape, which run in one forward pass.

    `raw` are the unnormalised latents, `text` each sample's caption or the empty one, and what an image-to-video model
    is given. `mask` is the cached mask (after invert), `weights` what the loss uses, `prior` the
    region held to the base model (all zero when prior preservation is off), `scale_B` a factor of each sample's loss,
    `prior_scale_B` one of its prior loss, `kept` the tokens that run through the middle blocks; None: all. `of_class`
    are those that are held to the base model as their class; None: there are none.
    """

    entries: tuple[CacheEntry, ...]
    raw_BCThw: torch.Tensor
    text: tuple[Mapping[str, torch.Tensor], ...]
    noise_BCThw: torch.Tensor
    t_B: torch.Tensor
    dropout_seeds: tuple[int, ...]
    mask_B1Thw: torch.Tensor
    weights_B1Thw: torch.Tensor
    prior_B1Thw: torch.Tensor
    scale_B: torch.Tensor
    prior_scale_B: torch.Tensor
    kept: KeptTokens | None = None
    of_class: ClassSamples | None = None

    @property
    def regularisation_B(self) -> torch.Tensor:
        """(B,) bool: which samples are regularisation images."""
        return is_regularisation(self.entries)


@dataclass(frozen=True, eq=False)
class Window:
    """An accumulation window: everything between two optimizer steps. `micro_batches` are this rank's, all else is of
    the whole window. The loss is divided by `normaliser`, prior and output preservation by `prior_normaliser`, both
    summed over its micro-batches. `near_zero` names samples whose weights are too small to say anything; `coverage` is
    that of what is learnt, where regularisation images are not alone. `tokens` is the share of picture tokens in the
    middle blocks, None without routing; `covered` names samples of which none can be skipped."""

    micro_batches: tuple[MicroBatch, ...]
    normaliser: torch.Tensor
    prior_normaliser: torch.Tensor
    near_zero: tuple[str, ...]
    coverage: float
    tokens: float | None = None
    covered: tuple[str, ...] = ()


def plan_window(
    batches: Sequence[Sequence[Occurrence]],
    cache: LatentCache,
    entries: Sequence[CacheEntry],
    settings: MaskLossSettings | None,
    config: TrainConfig,
    denoiser: Denoiser,
    ranks: Ranks = ALONE,
) -> Window:
    """Draw and weigh all samples of an accumulation window, and read those of this rank. Without `settings` every
    weight is 1.

    CacheError naming a file that cannot be read.
    """
    everything = [weigh_batch(batch, cache, entries, settings, config, denoiser) for batch in batches]
    weights = [each.samples.weights_B1Thw for each in everything]
    routed = keep_tokens(weights, [each.seeds for each in everything], settings, config, denoiser)
    kept = routed.kept if routed else (None,) * len(everything)
    normalization = settings.normalization if settings else Normalization.PER_SAMPLE
    normaliser = torch.zeros((), dtype=torch.float64)
    prior_normaliser = torch.zeros((), dtype=torch.float64)
    for each in everything:
        channels = each.entries[0].latent_shape[0]
        normaliser = normaliser + loss_normaliser(each.samples.weights_B1Thw.double(), channels, normalization)
        prior_normaliser = prior_normaliser + loss_normaliser(
            each.samples.prior_B1Thw, channels, Normalization.PER_SAMPLE
        )
    masks = [each.samples.mask_B1Thw[~is_regularisation(each.entries)] for each in everything]
    if not any(len(mask) for mask in masks):
        masks = [each.samples.mask_B1Thw for each in everything]
    cells = sum(mask.numel() for mask in masks)
    own = ranks.share(list(zip(everything, kept, strict=True)))
    return Window(
        tuple(read_batch(each, tokens, cache, settings, denoiser) for each, tokens in own),
        normaliser.clamp(min=torch.finfo(torch.float32).tiny),
        prior_normaliser,
        tuple(
            entry.name
            for each in everything
            for entry, silent in zip(each.entries, is_near_zero(each.samples.weights_B1Thw).tolist(), strict=True)
            if silent
        ),
        sum(float(mask.sum()) for mask in masks) / cells,
        None if routed is None else routed.share,
        ()
        if routed is None
        else tuple(
            each.entries[row].name for each, rows in zip(everything, routed.covered, strict=True) for row in rows
        ),
    )


@dataclass(frozen=True, eq=False)
class WeighedBatch:
    """What is drawn for samples of one latent shape but their noise, and how they count; nothing large is read yet.
    `dropped`: whose caption is left out."""

    entries: tuple[CacheEntry, ...]
    seeds: tuple[int, ...]
    t_B: torch.Tensor
    dropped: tuple[bool, ...]
    samples: SampleWeights


def weigh_batch(
    batch: Sequence[Occurrence],
    cache: LatentCache,
    entries: Sequence[CacheEntry],
    settings: MaskLossSettings | None,
    config: TrainConfig,
    denoiser: Denoiser,
) -> WeighedBatch:
    """What is drawn for samples of one latent shape, and their weights."""
    chosen = tuple(entries[occurrence.entry] for occurrence in batch)
    seeds = tuple(stream_seed("sample", config.seed, each.epoch, each.entry, each.repeat) for each in batch)
    uniform_B3 = draw_uniform(seeds)
    t_B = timesteps(uniform_B3[:, 0], config, denoiser)
    cached, present = cached_masks(cache, chosen)
    masked = present & (uniform_B3[:, 1] < settings.probability) if settings else present
    weighed = weigh_samples(cached, present, masked, t_B, settings, config, denoiser)
    return WeighedBatch(chosen, seeds, t_B, tuple((uniform_B3[:, 2] < config.caption_dropout).tolist()), weighed)


def read_batch(
    weighed: WeighedBatch,
    kept: KeptTokens | None,
    cache: LatentCache,
    settings: MaskLossSettings | None,
    denoiser: Denoiser,
) -> MicroBatch:
    """A micro-batch with its latents, noise and text."""
    entries, samples = weighed.entries, weighed.samples
    _, noise = draw_samples(weighed.seeds, entries[0].latent_shape)
    latents = torch.stack([cache.latent(entry) for entry in entries])
    text = tuple(
        load_conditioning(cache, entry, denoiser, "" if without else None)
        for entry, without in zip(entries, weighed.dropped, strict=True)
    )
    return MicroBatch(
        entries, latents, text, noise, weighed.t_B, weighed.seeds,
        samples.mask_B1Thw, samples.weights_B1Thw, samples.prior_B1Thw, samples.scale_B, samples.prior_scale_B, kept,
        _of_class(cache, entries, samples.dop_B1Thw, settings, denoiser),
    )  # fmt: skip


def _of_class(
    cache: LatentCache,
    entries: Sequence[CacheEntry],
    region_B1Thw: torch.Tensor,
    settings: MaskLossSettings | None,
    denoiser: Denoiser,
) -> ClassSamples | None:
    """The samples whose captions have a trigger and that it acts on anywhere; whether a caption is dropped in a step
    makes no difference."""
    pairs = settings.triggers if settings else ()
    captions = [class_caption(entry.caption, pairs) for entry in entries]
    acts = region_B1Thw.flatten(1).any(dim=1).tolist()
    found = [(row, caption) for row, caption in enumerate(captions) if caption is not None and acts[row]]
    if not found:
        return None
    rows = tuple(row for row, _ in found)
    text = tuple(load_conditioning(cache, entries[row], denoiser, caption) for row, caption in found)
    return ClassSamples(rows, text, region_B1Thw[list(rows)])


def is_regularisation(entries: Sequence[CacheEntry]) -> torch.Tensor:
    """(B,) bool: which are regularisation images."""
    return torch.tensor([entry.regularisation > 0 for entry in entries])


@dataclass(frozen=True, eq=False)
class SampleWeights:
    """How samples count: as `MicroBatch` has it."""

    mask_B1Thw: torch.Tensor
    weights_B1Thw: torch.Tensor
    prior_B1Thw: torch.Tensor
    scale_B: torch.Tensor
    prior_scale_B: torch.Tensor
    dop_B1Thw: torch.Tensor


def weigh_samples(
    cached_B1Thw: torch.Tensor,
    present_B: torch.Tensor,
    masked_B: torch.Tensor,
    t_B: torch.Tensor,
    settings: MaskLossSettings | None,
    config: TrainConfig,
    denoiser: Denoiser,
) -> SampleWeights:
    """How samples with the weights `cached` count at the timesteps `t`, in training and in an evaluation.

    present_B: bool, which have cached weights at all; masked_B: bool, for which of those the mask acts now. Without
    `settings` every weight is 1.
    """
    ones = torch.ones_like(cached_B1Thw)
    prior_scale = torch.ones(len(cached_B1Thw))
    prior = preserved = torch.zeros_like(cached_B1Thw)
    if settings is None:
        mask, weights, scale = cached_B1Thw, ones, torch.ones(len(cached_B1Thw))
    else:
        masked = masked_B.reshape(-1, 1, 1, 1, 1)
        inverted = present_B.reshape(-1, 1, 1, 1, 1) & settings.invert
        mask = torch.where(inverted, 1.0 - cached_B1Thw, cached_B1Thw)
        weights = torch.where(masked, transform_weights(cached_B1Thw, settings), ones)
        outside = prior
        if settings.prior_weight > 0 or settings.dop_weight > 0:
            outside = torch.where(masked, prior_region(cached_B1Thw, weights, settings), 0.0)
        prior_scale = prior_factors(settings, t_B)
        if settings.prior_weight > 0:
            prior = torch.where((prior_scale > 0).reshape(-1, 1, 1, 1, 1), outside, 0.0)
        if settings.dop_weight > 0:
            preserved = dop_region(outside, settings)
        if settings.prior_exclusive and settings.prior_threshold > 0:
            weights = weights * (1.0 - prior)
        scale = torch.where(masked_B, area_scale(cached_B1Thw, settings), torch.ones(len(cached_B1Thw)))
    if config.min_snr_gamma > 0:
        scale = scale * min_snr_weight(denoiser, t_B, config.min_snr_gamma)
    return SampleWeights(mask, weights, prior, scale, prior_scale, preserved)


def load_conditioning(
    cache: LatentCache, entry: CacheEntry, denoiser: Denoiser, caption: str | None = None
) -> Mapping[str, torch.Tensor]:
    """What the model is given with an entry: its caption's embeddings, or another's, and what it takes besides."""
    text = cache.text(entry) if caption is None else cache.caption_text(caption, entry)
    shown = cache.conditioning(entry) if denoiser.image_channels else {}
    return {**text, **shown, **(cache.references(entry) if denoiser.takes_references else {})}


def min_snr_weight(denoiser: Denoiser, t_B: torch.Tensor, gamma: float) -> torch.Tensor:
    """(B,) factor min(snr, gamma)/snr for noise prediction, min(snr, gamma)/(snr+1) for v (arXiv 2303.09556)."""
    snr = denoiser.snr(t_B)
    if denoiser.family is Family.V:
        return snr.clamp(max=gamma) / (snr + 1.0)
    if denoiser.family is Family.EPS:
        return snr.clamp(max=gamma) / snr
    raise TrainingError("min_snr_gamma weighs eps and v models; this one predicts flow: set it to 0.")


def cached_masks(cache: LatentCache, entries: Sequence[CacheEntry]) -> tuple[torch.Tensor, torch.Tensor]:
    """Cached weights (B,1,T,h,w), ones where an entry has none, and (B,) bool: which have some."""
    found = [cache.weights(entry) for entry in entries]
    present = torch.tensor([weights is not None for weights in found])
    filled = [
        torch.ones(1, *entry.latent_shape[1:]) if weights is None else weights
        for entry, weights in zip(entries, found, strict=True)
    ]
    return torch.stack(filled), present
