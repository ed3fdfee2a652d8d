"""Sample pictures of a run: what the LoRA does so far, made from the model while it is being trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from .denoiser import Denoiser

# What a sampler, an autoencoder or a disk raises when it cannot: out of memory is a RuntimeError too.
SAMPLING_FAILURES = (RuntimeError, ValueError, OSError)


class PictureSampler(Protocol):
    """Draws one picture from the model, with whatever adapters act on it. Training goes on as if it had not."""

    @property
    def every(self) -> int:
        """Optimizer steps from one picture to the next."""
        ...

    def picture(self, denoiser: Denoiser, check: Callable[[], None]) -> np.ndarray:
        """(H,W,3) uint8 RGB, the same for the same weights.

        `check` is called at each of the sampler's steps and may raise the host's interrupt. TrainingError for a model
        that this sampler cannot draw from; a RuntimeError, ValueError or OSError where it fails.
        """
        ...


def sample_is_due(step: int, steps: int, every: int) -> bool:
    """Before the first optimizer step, after each `every` of them, and after the last."""
    return step % every == 0 or step == steps
