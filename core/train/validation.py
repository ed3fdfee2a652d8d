"""The masked loss on pictures that are not trained on, always with the same noise and timesteps."""

from __future__ import annotations

import torch

from ..cache.entries import CacheEntry
from ..loss import elementwise_error, loss_normaliser, unnormalised_loss
from ..mask_weights import MaskLossSettings
from .adapters import LoraAdapters
from .checks import Split
from .config import TrainConfig
from .denoiser import Denoiser
from .draws import timesteps
from .observer import TrainObserver
from .order import stream_seed
from .step import autocast_context
from .window import cached_masks, load_conditioning, weigh_samples

_LEVELS = 4


def validation_loss(
    split: Split,
    denoiser: Denoiser,
    adapters: LoraAdapters,
    settings: MaskLossSettings | None,
    config: TrainConfig,
    observer: TrainObserver,
) -> float | None:
    """The loss over all entries at four timesteps spread evenly over the run's distribution; None where no entry has
    any weight.

    Samples are weighed by the function that weighs them in training, with `area_beta` and min-SNR. What is drawn anew
    in every step of the training is left out, so that values are comparable over a run: only the adapters' weights
    differ from one call to the next. So there is no dropout, neither the adapters' nor of captions; the mask always
    acts, whatever the chance (`probability`) is that it does in a step; and prior preservation adds nothing, as its
    weight may change over the run.
    """
    adapters.set_dropout_seeds(())
    rules = settings or MaskLossSettings()
    numerator = torch.zeros(())
    normaliser = torch.zeros(())
    counts = False
    t_B = timesteps((torch.arange(_LEVELS, dtype=torch.float64) + 0.5) / _LEVELS, config, denoiser)
    with torch.no_grad():
        for entry in split.validation:
            observer.check()
            cached, present = cached_masks(split.validation_cache, (entry,) * _LEVELS)
            weighed = weigh_samples(cached, present, present, t_B, settings, config, denoiser)
            weights = weighed.weights_B1Thw
            counts = counts or bool(weights.any())
            error = elementwise_error(_residuals(split, entry, t_B, denoiser, config), rules).cpu()
            for level in range(_LEVELS):
                row = slice(level, level + 1)
                numerator = numerator + unnormalised_loss(
                    error[row], weights[row], rules.normalization, weighed.scale_B[row]
                )
                normaliser = normaliser + loss_normaliser(weights[row], error.shape[1], rules.normalization)
    return float(numerator / normaliser.clamp(min=torch.finfo(torch.float32).tiny)) if counts else None


def _residuals(
    split: Split, entry: CacheEntry, t_B: torch.Tensor, denoiser: Denoiser, config: TrainConfig
) -> torch.Tensor:
    """(4,C,T,h,w): prediction minus target at each noise level."""
    cache = split.validation_cache
    device = denoiser.device
    generator = torch.Generator().manual_seed(stream_seed("validation", config.seed, entry.name))
    noise = torch.randn((_LEVELS, *entry.latent_shape), generator=generator).to(device)
    clean = denoiser.normalise(cache.latent(entry)[None].to(device)).expand_as(noise)
    t = t_B.to(device)
    text = load_conditioning(cache, entry, denoiser)
    with autocast_context(denoiser, config.training_dtype):
        rows = [denoiser.predict(clean[[level]], noise[[level]], t[[level]], [text], False) for level in range(_LEVELS)]
    return torch.cat(rows)
