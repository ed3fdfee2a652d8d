"""Layers whose weights lie elsewhere and are fetched into one buffer as they run, as ComfyUI offloads them on CUDA."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from . import tiny_models as _tiny  # noqa: F401 - skips where there is no ComfyUI

import comfy.ops  # isort: skip


@contextmanager
def streamed(model: Any, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """All layers cast into one buffer, as ComfyUI's streams do on CUDA: the next cast overwrites the last."""
    buffer = torch.empty(1 << 22)
    original = comfy.ops.cast_bias_weight

    def cast(layer: Any, *args: Any, offloadable: bool = False, **kwargs: Any) -> Any:
        weight, bias, *rest = original(layer, *args, offloadable=offloadable, **kwargs)
        if offloadable:
            place = buffer[: weight.numel()].view(weight.shape)
            place.data.copy_(weight)
            weight = place
        return (weight, bias, *rest)

    monkeypatch.setattr(comfy.ops, "cast_bias_weight", cast)
    layers = [layer for layer in model.model.diffusion_model.modules() if hasattr(layer, "comfy_cast_weights")]
    for layer in layers:
        layer.comfy_cast_weights = True
    try:
        yield
    finally:
        for layer in layers:
            del layer.comfy_cast_weights
