"""Tiny models with a LoRA that already does something, and its gradients."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager

import pytest
import torch
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.comfy.model.references import ReferenceMethod
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm, LoraConfig

from . import tiny_models as tiny

# Models whose last block computes every token: UNets, and those whose attention takes no options of ComfyUI's, or where
# what follows the last block mixes tokens.
WHOLE = (
    "sd15", "sd2", "sdxl", "sdxl_refiner", "pixart", "ernie", "chroma_radiance", "pixeldit", "ltx2", "ltx23",
    "minimax_h3",
)  # fmt: skip


@contextmanager
def adapted(
    name: str,
    targets: str = "",
    algorithm: Algorithm = Algorithm.LORA,
    example: Mapping[str, torch.Tensor] | None = None,
    method: ReferenceMethod = ReferenceMethod.AUTO,
) -> Generator[tuple[ComfyDenoiser, LoraAdapters]]:
    """A denoiser with a LoRA that already does something, in fp32, opened with `example` in place of a text."""
    with open_denoiser(tiny.load_model(name), example or tiny.text_for(name), method=method) as denoiser:
        generator = torch.Generator().manual_seed(0)
        config = LoraConfig(rank=4, alpha=4, targets=targets, algorithm=algorithm)
        adapters = LoraAdapters(
            denoiser.module, config, denoiser.default_targets, generator, denoiser.device, torch.float32
        )
        with torch.no_grad():
            for parameter in adapters.parameters:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        with adapters.attach():
            yield denoiser, adapters


def sample(name: str, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    # Krea 2 takes pictures alone, though in a video model's latents.
    frames = 2 if tiny.takes_videos(name) and name != "krea2" else 1
    shape = (batch, *tiny.latent_shape(name, frames))
    clean, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    return clean, noise, torch.linspace(0.3, 0.7, batch)


def loss(name: str, denoiser: ComfyDenoiser, checkpoint: bool) -> torch.Tensor:
    clean, noise, t = sample(name)
    texts = [tiny.text_for(name, length=length, seed=length) for length in (6, 4)]
    return denoiser.predict(clean, noise, t, texts, checkpoint).square().mean()


def gradients(name: str, denoiser: ComfyDenoiser, adapters: LoraAdapters, checkpoint: bool) -> torch.Tensor:
    return gradients_of(lambda checkpoint: loss(name, denoiser, checkpoint), denoiser, adapters, checkpoint)


def gradients_of(
    loss_of: Callable[[bool], torch.Tensor], denoiser: ComfyDenoiser, adapters: LoraAdapters, checkpoint: bool
) -> torch.Tensor:
    """Those of `loss_of(checkpoint)`, flat."""
    for parameter in adapters.parameters:
        parameter.grad = None
    with denoiser.autograd_context(checkpoint):
        loss_of(checkpoint).backward()
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in adapters.parameters])


def check_gradients(loss_of: Callable[[bool], torch.Tensor], denoiser: ComfyDenoiser, adapters: LoraAdapters) -> None:
    """Checkpointed gradients equal plain ones, and their norm a central difference of the loss along them."""
    plain, checkpointed = (gradients_of(loss_of, denoiser, adapters, checkpoint) for checkpoint in (False, True))
    assert plain.norm() > 0
    assert (checkpointed - plain).norm() < 1e-4 * plain.norm()
    step = 0.02 * plain / plain.norm()
    moves = step.split([parameter.numel() for parameter in adapters.parameters])
    values: list[float] = []
    with torch.no_grad():
        for sign in (1, -2):
            for parameter, move in zip(adapters.parameters, moves, strict=True):
                parameter.add_(sign * move.reshape(parameter.shape))
            values.append(float(loss_of(False).double()))
    assert (values[0] - values[1]) / 0.04 == pytest.approx(float(plain.norm()), rel=1e-2)
