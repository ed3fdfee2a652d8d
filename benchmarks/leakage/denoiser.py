"""The world's model behind the pack's `Denoiser` protocol, so that the pack's own loop trains LoRAs on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from maskloss.core.demo.routing import RoutesMiddleBlocks
from maskloss.core.train.denoiser import Family
from torch import nn

from .network import LATENT_CHANNELS, PATCH, predict_velocity


class WorldDenoiser(RoutesMiddleBlocks):
    """Rectified flow: x_t = (1−t)·x0 + t·noise, target noise − x0; latents are used as they are."""

    family = Family.FLOW
    latent_channels = LATENT_CHANNELS
    image_channels = 0
    notes: tuple[str, ...] = ()
    weights_note = ""
    guidance: float | None = None
    default_targets = r"^blocks\.\d+\.(qkv|out|mlp_in|mlp_out)$"
    lora_architecture = "maskloss-leakage-world"
    takes_references = False
    patch_side = PATCH
    device = torch.device("cpu")

    def __init__(self, network: nn.Module, identity: str) -> None:
        self.module = network
        self.identity = identity

    def normalise(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        return latents_BCThw

    def shift(self, t_B: torch.Tensor) -> torch.Tensor:
        return t_B

    def snr(self, t_B: torch.Tensor) -> torch.Tensor:
        return ((1 - t_B) / t_B) ** 2

    def can_place(self, indices: Sequence[int]) -> bool:
        return False

    def autograd_context(self, checkpoint: bool) -> AbstractContextManager[object]:
        return nullcontext()

    def predict(
        self,
        clean_BCThw: torch.Tensor,
        noise_BCThw: torch.Tensor,
        t_B: torch.Tensor,
        text: Sequence[Mapping[str, torch.Tensor]],
        checkpoint: bool,
    ) -> torch.Tensor:
        """Predicted minus true velocity."""
        t = t_B.reshape(-1, 1, 1, 1, 1)
        noised = (1 - t) * clean_BCThw + t * noise_BCThw
        words_BLD = torch.stack([each["words"] for each in text])
        kept_BK = None if self._kept is None else self._kept.indices_BK
        return predict_velocity(self.module, noised, t_B, words_BLD, kept_BK) - (noise_BCThw - clean_BCThw)
