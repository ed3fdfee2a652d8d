"""What is drawn of a sample: its timestep, whether its mask and its caption act, and its noise.

Every draw of a sample comes from its own generator, by its seed, so that it does not depend on the samples beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..errors import unhandled_choice
from .config import TimestepSampling, TrainConfig
from .denoiser import Denoiser


def draw_uniform(seeds: Sequence[int]) -> torch.Tensor:
    """Uniform random numbers in [0, 1), (B,3) float64, for timestep, mask and caption: those of `draw_samples`."""
    return torch.stack([_uniform(_generator(seed)) for seed in seeds])


def draw_samples(seeds: Sequence[int], shape: tuple[int, int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Uniform random numbers in [0, 1), (B,3) float64, for timestep, mask and caption; and noise (B,C,T,h,w).

    All are always drawn, so that switching one setting on changes no other number.
    """
    uniform: list[torch.Tensor] = []
    noise: list[torch.Tensor] = []
    for seed in seeds:
        generator = _generator(seed)
        uniform.append(_uniform(generator))
        noise.append(torch.randn(shape, generator=generator))
    return torch.stack(uniform), torch.stack(noise)


def timesteps(uniform_B: torch.Tensor, config: TrainConfig, denoiser: Denoiser) -> torch.Tensor:
    """(B,) float32 t: uniform random numbers mapped by the distribution's inverse CDF, shifted where asked, rescaled to
    [timestep_min, timestep_max]."""
    sampling = config.timestep_sampling
    if sampling is TimestepSampling.UNIFORM:
        t = uniform_B
    elif sampling is TimestepSampling.LOGIT_NORMAL or sampling is TimestepSampling.SHIFT:
        t = torch.sigmoid(math.sqrt(2.0) * torch.erfinv(2.0 * uniform_B - 1.0))
        t = denoiser.shift(t) if sampling is TimestepSampling.SHIFT else t
    else:
        raise unhandled_choice(sampling)
    return (config.timestep_min + (config.timestep_max - config.timestep_min) * t).float()


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _uniform(generator: torch.Generator) -> torch.Tensor:
    return torch.rand(3, generator=generator, dtype=torch.float64)
