"""How ComfyUI's models take a batch: together where its samples allow it."""

from __future__ import annotations

from typing import Any

import torch
from maskloss.core.autograd.tensors import tensors_in
from maskloss.core.comfy.model.denoiser import ComfyDenoiser

from . import tiny_models as tiny  # skips where there is no ComfyUI

import comfy.model_sampling  # isort: skip

Inputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def passes(denoiser: ComfyDenoiser, batch: Inputs, given: list[dict[str, torch.Tensor]]) -> list[int]:
    """Samples in each forward pass of a batch (clean, noise, t), whose result must be what its samples give alone."""
    clean, noise, t = batch
    calls: list[int] = []
    # LTX-2's is a list of the video, and the sound where there is some.
    hook = denoiser.module.register_forward_hook(lambda _m, args, _output: calls.append(len(tensors_in(args[:1])[0])))
    with torch.no_grad():
        together = denoiser.predict(clean, noise, t, given, False)
        hook.remove()
        rows = range(len(given))
        alone = [denoiser.predict(clean[[i]], noise[[i]], t[[i]], [given[i]], False) for i in rows]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)
    return calls


def inputs(name: str, batch: int = 2) -> Inputs:
    generator = torch.Generator().manual_seed(7)
    shape = (batch, *tiny.latent_shape(name, height=12))
    clean, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    return clean, noise, torch.linspace(0.2, 0.8, batch)


def with_sampling(model: Any, prediction: str, schedule: str) -> Any:
    """What ComfyUI's ModelSampling nodes do with a MODEL."""

    class Sampling(getattr(comfy.model_sampling, schedule), getattr(comfy.model_sampling, prediction)):
        pass

    model = model.clone()
    model.add_object_patch("model_sampling", Sampling(model.model.model_config))
    return model
