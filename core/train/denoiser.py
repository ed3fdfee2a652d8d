"""What the training loop needs of a model.

Shapes: B batch, C channels, T latent frames, h, w latent grid. Image models have T = 1.
`t` is in [0, 1] for every family: 0 is the clean latent, 1 is noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, runtime_checkable

import torch

from ..errors import TrainingError
from .token_routing import KeptTokens


class Family(str, Enum):
    """What a model predicts."""

    FLOW = "flow"
    EPS = "eps"
    V = "v"


class Denoiser(Protocol):
    """A frozen model with a place for adapters. It never changes what it is given and draws nothing at random."""

    @property
    def identity(self) -> str:
        """Differs whenever the same training would give another LoRA (weights' hash, precision, version)."""
        ...

    @property
    def family(self) -> Family:
        """What the model predicts."""
        ...

    @property
    def module(self) -> torch.nn.Module:
        """The network whose layers adapters attach to; their names become the LoRA's keys."""
        ...

    @property
    def device(self) -> torch.device:
        """Where `predict` runs and wants its arguments."""
        ...

    @property
    def latent_channels(self) -> int:
        """C of the latents that it takes."""
        ...

    @property
    def image_channels(self) -> int:
        """Channels that an image-to-video model takes beside the latent, 4 of a mask and a latent's; 0: none."""
        ...

    @property
    def takes_references(self) -> bool:
        """Whether it is an edit model, which may be shown reference pictures beside what it predicts."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of training this model, in sentences."""
        ...

    @property
    def weights_note(self) -> str:
        """How its frozen weights are kept, a sentence for the log; empty: as they were loaded, or as was asked for."""
        ...

    @property
    def guidance(self) -> float | None:
        """Effective guidance of a guidance-distilled model; None: its default, or it takes none."""
        ...

    @property
    def default_targets(self) -> str:
        """Regular expression over module names: the layers that get an adapter when the user names none."""
        ...

    @property
    def lora_architecture(self) -> str:
        """For the LoRA file's metadata (`modelspec.architecture`), such as "wan2.1" or "stable-diffusion-v1"."""
        ...

    def normalise(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        """Raw latents, as the autoencoder gave them, to the unit in which the model works. Same shape."""
        ...

    def shift(self, t_B: torch.Tensor) -> torch.Tensor:
        """The model's own timestep shift, [0, 1] to [0, 1], monotone."""
        ...

    def snr(self, t_B: torch.Tensor) -> torch.Tensor:
        """Signal-to-noise ratio (power) of the noised latent at `t`, shape (B,), for min-SNR weighting."""
        ...

    def can_place(self, indices: Sequence[int]) -> bool:
        """Whether latent frames can be given these numbers (ascending), as one-frame training wants it."""
        ...

    def autograd_context(self, checkpoint: bool) -> AbstractContextManager[object]:
        """Entered around `predict` (with the same `checkpoint`) and the `backward` of what comes of it."""
        ...

    def predict(
        self,
        clean_BCThw: torch.Tensor,
        noise_BCThw: torch.Tensor,
        t_B: torch.Tensor,
        text: Sequence[Mapping[str, torch.Tensor]],
        checkpoint: bool,
    ) -> torch.Tensor:
        """Prediction minus target, (B,C,T,h,w), in the unit in which the loss is taken, with a graph.

        `clean` is normalised, `noise` is standard normal of the same shape, `text` has one mapping per sample: its
        caption's embeddings, and `LatentCache.conditioning` of it where the model has `image_channels`, or
        `LatentCache.references` where it `takes_references`; of these nothing is predicted.
        With `checkpoint` the activations of each block are computed again in the backward pass instead of kept.
        """
        ...


@dataclass(frozen=True)
class RoutedBlocks:
    """patch: the cells (T,h,w) of one token. Blocks `first` to `end` − 1 (0-based) of `depth` run on kept tokens."""

    patch: tuple[int, int, int]
    first: int
    end: int
    depth: int


@runtime_checkable
class TokenRouting(Protocol):
    """What a denoiser has beside, whose model can route tokens around its middle blocks."""

    def routed_blocks(self) -> RoutedBlocks:
        """Which blocks can be routed. TrainingError, by name, where this model's cannot."""
        ...

    def route(self, kept: KeptTokens) -> AbstractContextManager[object]:
        """Inside, `predict` of the batch that these tokens were kept of runs the middle blocks on them alone."""
        ...


def token_routing(denoiser: Denoiser) -> TokenRouting:
    """The denoiser as one that routes tokens. TrainingError, by name, where it cannot."""
    if isinstance(denoiser, TokenRouting):
        return denoiser
    raise TrainingError(
        f"background_tokens: {denoiser.identity} cannot skip tokens; set it to 1.0, or crop the photographs around the "
        "person (MaskLossDatasetCrops)."
    )


@dataclass(frozen=True, eq=False)
class Needed:
    """What of a prediction counts: the cells (B,1,T,h,w) that are not 0. `others`: the rest is predicted as well,
    without a graph."""

    cells_B1Thw: torch.Tensor
    others: bool


@runtime_checkable
class TokenSaving(Protocol):
    """What a denoiser has beside, which computes less where not every cell of a prediction counts."""

    @property
    def saving_note(self) -> str:
        """Whether it does so with this model, or why not, in a sentence."""
        ...

    def saves(self, needed: Needed) -> bool:
        """Whether `predict` computes less with it. Without `others` it then gives numbers that mean nothing."""
        ...

    def count_only(self, needed: Needed) -> AbstractContextManager[object]:
        """Inside, `predict` of a batch of these cells has the gradient of what is made of those that count, which is
        the same as without this."""
        ...


@runtime_checkable
class Compiling(Protocol):
    """What a denoiser has beside, whose blocks may be compiled while it is trained."""

    @property
    def compiled_note(self) -> str:
        """What has been compiled so far, in a sentence; "" for nothing."""
        ...


def compiled_note(denoiser: Denoiser) -> str:
    """What a denoiser has compiled so far, in a sentence; "" for nothing."""
    return denoiser.compiled_note if isinstance(denoiser, Compiling) else ""
