"""The demo model behind the `Denoiser` protocol: rectified flow, x_t = (1−t)·x0 + t·noise, target noise − x0.

Shapes: B batch, C = 16 channels, T frames, h, w latent grid.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from ..autograd.compiled_blocks import CompiledBlocks
from ..errors import TrainingError
from ..frozen.config import BaseConfig, BasePrecision
from ..frozen.held_base import BaseLayer, HeldBase, is_product
from ..train.denoiser import Family
from .encoders import LATENT_CHANNELS
from .network import PATCH, DemoTransformer
from .routing import RoutesMiddleBlocks

# Mean and standard deviation of the demo autoencoder's channels over photographs (four of scikit-image's and
# insightface's samples); normalised latents have about unit variance.
_MEAN = (-0.15, 0, 0, 0, 0, 0, 0, 0, 0, 0, -0.64, 0, 0, 0.73, 0, 0)
_STD = (1.77, 0.32, 0.32, 0.147, 0.147, 0.143, 0.079, 0.089, 0.091, 0.084, 0.47, 0.066, 0.067, 0.6, 0.082, 0.079)
_SHIFT = 3.0


class DemoDenoiser(RoutesMiddleBlocks):
    """A transformer of 1.2 million untrained weights on top of the best guess that the noise level alone allows.

    For unit-variance latents and noise that guess of noise − x0 is (2t−1)/((1−t)²+t²)·x_t; what is left is the
    picture, which is what a LoRA can learn.
    """

    family = Family.FLOW
    latent_channels = LATENT_CHANNELS
    image_channels = 0
    takes_references = False
    notes: tuple[str, ...] = ()
    weights_note = ""
    guidance: float | None = None
    default_targets = r"^(blocks\.\d+\..+|final)$"
    lora_architecture = "maskloss-demo"
    patch_side = PATCH

    def __init__(self, seed: int = 0) -> None:
        # Nodes run inside inference_mode, whose tensors can never be saved for a backward pass. torch's layers draw
        # their first weights (all replaced) from the global random state, which is to stay as it is.
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            self.module = DemoTransformer(seed)
        self.identity = f"maskloss-demo-flow-1-seed{seed}"
        self.device = torch.device("cpu")
        self._compiled = CompiledBlocks(())

    @contextmanager
    def held(self, base: BaseConfig) -> Generator[DemoDenoiser]:
        """The same model with its blocks held and run as `base` says, inside of the context."""
        if base.precision is BasePrecision.NVFP4:
            raise TrainingError(
                "base_precision is nvfp4, a format of ComfyUI's own models, and the demo model is none; set it to int8 "
                "or as_loaded."
            )
        layers: list[BaseLayer] = []
        swapped = base.swapped(len(self.module.blocks), "the demo model")
        for number, block in enumerate(self.module.blocks):
            for name, layer in block.named_modules(prefix=f"blocks.{number}"):
                if base.holds_weights and is_product(layer):
                    load = lambda _device, layer=layer: (layer.weight, layer.bias)  # noqa: E731
                    apart = number in swapped
                    sharded = None if apart or base.peers is None else number
                    layers.append(BaseLayer(name, layer, load, number if apart else None, sharded=sharded))
        other = copy.copy(self)
        other.identity += base.identity
        other._compiled = CompiledBlocks(self.module.blocks if base.compile_blocks else (), level=False)
        with HeldBase(layers, base, self.device), other._compiled.install(), other._compiled.set_active(True):
            yield other

    @property
    def compiled_note(self) -> str:
        """What has been compiled so far, in a sentence."""
        return self._compiled.note

    def normalise(self, latents_BCThw: torch.Tensor) -> torch.Tensor:
        """(raw − mean) / std per channel. TrainingError when there are not 16 channels."""
        if latents_BCThw.shape[1] != LATENT_CHANNELS:
            raise TrainingError(
                f"The demo model takes latents of {LATENT_CHANNELS} channels, found {latents_BCThw.shape[1]}; "
                "cache the dataset with the demo VAE, or train the model that the cache was made for."
            )
        mean, std = (torch.tensor(values).to(latents_BCThw).reshape(1, -1, 1, 1, 1) for values in (_MEAN, _STD))
        return (latents_BCThw - mean) / std

    def shift(self, t_B: torch.Tensor) -> torch.Tensor:
        """s·t / (1 + (s−1)·t) with s = 3: more steps near noise, as large pictures want."""
        return _SHIFT * t_B / (1 + (_SHIFT - 1) * t_B)

    def snr(self, t_B: torch.Tensor) -> torch.Tensor:
        """((1−t)/t)², infinite at t = 0."""
        return ((1 - t_B) / t_B) ** 2

    def can_place(self, indices: Sequence[int]) -> bool:
        """Never: it knows nothing of the order of frames."""
        return False

    def autograd_context(self, checkpoint: bool) -> AbstractContextManager[object]:
        """Nothing: no block of the demo model changes its inputs in place."""
        return nullcontext()

    def predict(
        self,
        clean_BCThw: torch.Tensor,
        noise_BCThw: torch.Tensor,
        t_B: torch.Tensor,
        text: Sequence[Mapping[str, torch.Tensor]],
        checkpoint: bool,
    ) -> torch.Tensor:
        """Predicted minus true velocity, (B,C,T,h,w) float32."""
        t = t_B.reshape(-1, 1, 1, 1, 1)
        noised = (1 - t) * clean_BCThw + t * noise_BCThw
        guess = (2 * t - 1) / ((1 - t) ** 2 + t**2) * noised
        velocity = guess + self.module(noised, t_B, text, checkpoint, self._kept).float()
        return velocity - (noise_BCThw - clean_BCThw)
