"""Published models with random weights, to be timed: a MODEL of full size without its file."""

from __future__ import annotations

import importlib
from typing import Any

import torch

_NOISE = 2**22


def random_model(configuration: Any) -> Any:
    """A ModelPatcher of one of ComfyUI's configurations. Its weights are of a size at which signals neither grow nor
    vanish, and the same on every call."""
    management: Any = importlib.import_module("comfy.model_management")
    patcher = importlib.import_module("comfy.model_patcher").ModelPatcher
    main_memory = torch.device("cpu")
    with torch.inference_mode():
        model = configuration.get_model({}, "", device=main_memory)
        noise = torch.randn(_NOISE, generator=torch.Generator().manual_seed(0))
        for name, parameter in model.diffusion_model.named_parameters():
            _fill(parameter.data, name.endswith("bias"), noise)
        # SD3's is of whatever lay in memory.
        if isinstance(positions := getattr(model.diffusion_model, "pos_embed", None), torch.Tensor):
            _fill(positions, False, noise)
        return patcher(model, management.get_torch_device(), main_memory)


def _fill(weight: torch.Tensor, bias: bool, noise: torch.Tensor) -> None:
    if weight.ndim < 2:
        weight.fill_(0.0 if bias else 1.0)
        return
    scaled = (noise * (weight[0].numel() ** -0.5)).to(weight.dtype)
    values = weight.view(-1)
    for start in range(0, len(values), _NOISE):
        part = values[start : start + _NOISE]
        part.copy_(scaled[: len(part)])
