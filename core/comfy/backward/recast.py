"""ComfyUI's own layers, whose weights it casts or fetches as they run, re-cast them in the backward pass."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from ...autograd.recast import recast
from ...autograd.tensors import is_plain


@contextmanager
def recast_layers(network: nn.Module) -> Generator[None]:
    """Make ComfyUI's own layers of `network` re-cast their weights in the backward pass; restored on exit.

    Whether a layer casts is decided in every call, because ComfyUI may move weights at any time. The weights must be
    frozen.
    """
    layers = [layer for layer in network.modules() if is_casting_layer(layer)]
    before = [layer.__dict__.get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.forward = _wrap_layer(layer)
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            layer.__dict__.pop("forward", None)
            if forward is not None:
                layer.forward = forward


def is_casting_layer(layer: nn.Module) -> bool:
    """Whether the layer is one of ComfyUI's, whose weights may be elsewhere or in another precision than its input."""
    return hasattr(layer, "comfy_cast_weights") and "weight" in vars(layer).get("_parameters", {})


def _wrap_layer(layer: nn.Module) -> Callable[..., Any]:
    original = layer.forward
    cast_weight = partial(_cast_weight, layer) if _is_plain_product(layer) else None

    def forward(value: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled() or not value.requires_grad or not _needs_cast(layer):
            return original(value, *args, **kwargs)
        return recast(value, lambda again: original(again, *args, **kwargs), cast_weight)

    return forward


def _needs_cast(layer: Any) -> bool:
    if layer.weight is None:
        return False
    functions = getattr(layer, "weight_function", ()) or getattr(layer, "bias_function", ())
    return bool(layer.comfy_cast_weights or functions or not is_plain(layer.weight))


def _is_plain_product(layer: nn.Module) -> bool:
    """Whether the layer's result is its input times ComfyUI's cast weight, plus a bias.

    Others, such as older fp8 layers with scales and those of other packs, are recomputed as a whole.
    """
    operations = importlib.import_module("comfy.ops")
    own = getattr(type(layer), "forward_comfy_cast_weights", None)
    plain = operations.disable_weight_init.Linear.forward_comfy_cast_weights
    return own is plain or type(layer).__qualname__ == "mixed_precision_ops.<locals>.MixedPrecisionOps.Linear"


def _cast_weight(layer: Any, like: torch.Tensor) -> torch.Tensor:
    """The layer's weight (out, in) in the dtype and on the device of `like`, for immediate use.

    By ComfyUI's older cast function, which uses no shared buffer.
    """
    weight, _ = importlib.import_module("comfy.ops").cast_bias_weight(layer, like)
    if not is_plain(weight):
        weight = weight.dequantize().to(like.dtype)
    scale = getattr(layer, "pre_quant_scale", None)
    return weight if scale is None else weight * scale.to(weight)
