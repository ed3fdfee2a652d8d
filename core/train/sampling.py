"""Sample pictures of a run: what the LoRA does so far, made from the model while it is being trained.

Shapes: B pictures, F frames of each, H, W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from ..cache.store import LatentCache
from ..progress import Progress
from ..scores.checkpoint_scores import Pictures
from ..scores.picture_scores import PictureScorer
from .denoiser import Denoiser

# What a sampler, an autoencoder or a disk raises when it cannot: out of memory is a RuntimeError too.
SAMPLING_FAILURES = (RuntimeError, ValueError, OSError)

Samples = Mapping[str, np.ndarray]
"""By prompt (POSITIVE, and where they are asked for BLEED and PLAIN): (B,F,H,W,3) uint8 RGB, all of one size."""


class PictureSampler(Protocol):
    """Draws pictures from the model, with whatever adapters act on it. Training goes on as if it had not."""

    @property
    def every(self) -> int:
        """Optimizer steps from one sampling to the next."""
        ...

    def draw(self, denoiser: Denoiser, check: Callable[[], None]) -> Samples:
        """The same pictures for the same parameters, of every prompt from the same noise.

        `check` is called at each of the sampler's steps and may raise the host's interrupt. TrainingError for a model
        that this sampler cannot draw from; a RuntimeError, ValueError or OSError where it fails.
        """
        ...

    def notes(self, denoiser: Denoiser, cache: LatentCache) -> Sequence[str]:
        """What is perhaps not meant so in pictures of this model, trained on that cache."""
        ...

    def scorer(self, cache: LatentCache, progress: Progress) -> PictureScorer | None:
        """What measures the pictures against the person and the photographs of `cache`; None where nobody asked."""
        ...


def sample_is_due(step: int, steps: int, every: int) -> bool:
    """Before the first optimizer step, after each `every` of them, and after the last."""
    return step % every == 0 or step == steps


def sample_sheet(samples: Samples) -> np.ndarray:
    """(H,W,3) uint8 RGB to look at: a row for each picture, its frames beside each other; the prompts' rows below each
    other in their order."""
    rows = [np.concatenate(list(frames_FHWC), axis=1) for drawn in samples.values() for frames_FHWC in drawn]
    return np.concatenate(rows)


def single_pictures(samples: Samples) -> Pictures:
    """Every frame of every picture by prompt, (H,W,3) uint8 RGB each."""
    return {prompt: [frame for frames_FHWC in drawn for frame in frames_FHWC] for prompt, drawn in samples.items()}
