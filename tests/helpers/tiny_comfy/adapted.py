"""Tiny models with a LoRA that already does something, and its gradients."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm, LoraConfig

from . import tiny_models as tiny

# Models whose last block computes every token: UNets, and those whose attention takes no options of ComfyUI's, or where
# what follows the last block mixes tokens.
WHOLE = ("sd15", "sd2", "sdxl", "sdxl_refiner", "pixart", "ernie", "chroma_radiance", "pixeldit", "ltx2", "ltx23")


@contextmanager
def adapted(
    name: str, targets: str = "", algorithm: Algorithm = Algorithm.LORA
) -> Generator[tuple[ComfyDenoiser, LoraAdapters]]:
    """A denoiser with a LoRA that already does something, in fp32."""
    with open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser:
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
    for parameter in adapters.parameters:
        parameter.grad = None
    with denoiser.autograd_context(checkpoint):
        loss(name, denoiser, checkpoint).backward()
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in adapters.parameters])
