"""The masked loss on pictures that are not trained on, always with the same noise and timesteps."""

from __future__ import annotations

import torch

from ..cache.entries import CacheEntry
from ..loss import elementwise_error, loss_normaliser, unnormalised_loss
from ..mask_weights import MaskLossSettings, transform_weights
from .adapters import LoraAdapters
from .checks import Split
from .config import TrainConfig
from .denoiser import Denoiser
from .observer import TrainObserver
from .order import stream_seed
from .step import precision
from .window import cached_masks, timesteps, told

_LEVELS = 4


def validation_loss(
    split: Split,
    denoiser: Denoiser,
    adapters: LoraAdapters,
    settings: MaskLossSettings | None,
    config: TrainConfig,
    observer: TrainObserver,
) -> float | None:
    """The loss over all entries at four timesteps spread evenly over the run's distribution, without dropout; None
    where no entry has any weight.

    Comparable over a run: only the adapters' weights differ from one call to the next.
    """
    adapters.set_dropout_seeds(())
    rules = settings or MaskLossSettings()
    share = torch.zeros(())
    divisor = torch.zeros(())
    counts = False
    with torch.no_grad():
        for entry in split.validation:
            observer.check()
            weights = _weights(split, entry, settings)
            counts = counts or bool(weights.any())
            error = elementwise_error(_differences(split, entry, denoiser, config), rules).cpu()
            for level in range(_LEVELS):
                share = share + unnormalised_loss(error[level : level + 1], weights, rules.normalization)
                divisor = divisor + loss_normaliser(weights, error.shape[1], rules.normalization)
    return float(share / divisor.clamp(min=torch.finfo(torch.float32).tiny)) if counts else None


def _weights(split: Split, entry: CacheEntry, settings: MaskLossSettings | None) -> torch.Tensor:
    mask, present = cached_masks(split.validation_cache, (entry,))
    if settings is None or not bool(present):
        return torch.ones_like(mask)
    return transform_weights(mask, settings)


def _differences(split: Split, entry: CacheEntry, denoiser: Denoiser, config: TrainConfig) -> torch.Tensor:
    """(4,C,T,h,w): prediction minus target at each noise level."""
    cache = split.validation_cache
    device = denoiser.device
    generator = torch.Generator().manual_seed(stream_seed("validation", config.seed, entry.name))
    noise = torch.randn((_LEVELS, *entry.latent_shape), generator=generator).to(device)
    even = (torch.arange(_LEVELS, dtype=torch.float64) + 0.5) / _LEVELS
    clean = denoiser.normalise(cache.latent(entry)[None].to(device)).expand_as(noise)
    t = timesteps(even, config, denoiser).to(device)
    text = told(cache, entry, denoiser)
    with precision(denoiser, config.training_dtype):
        rows = [denoiser.predict(clean[[level]], noise[[level]], t[[level]], [text], False) for level in range(_LEVELS)]
    return torch.cat(rows)
