"""Layers whose weights ComfyUI casts or fetches as they run: nothing cast is kept for the way back, it is cast again.

That is right where the weights are offloaded and streamed through buffers that are used again (a buffer kept for the
way back would hold another layer's weights by then), and it saves memory where they are fp8 or quantised (a kept cast
would be a second copy of the model, in full precision).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..train.algorithms import is_plain
from .checkpointing import autocast_state


@contextmanager
def casting_again(network: nn.Module) -> Generator[None]:
    """Inside, ComfyUI's own layers of `network` cast their weights again on the way back; afterwards each is as it was.

    Which do is looked at in every call, for ComfyUI may move weights at any time. Their weights must be frozen.
    """
    layers = [layer for layer in network.modules() if is_casting_layer(layer)]
    before = [layer.__dict__.get("forward") for layer in layers]
    try:
        for layer in layers:
            layer.forward = _wrapped(layer)
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            layer.__dict__.pop("forward", None)
            if forward is not None:
                layer.forward = forward


def is_casting_layer(layer: nn.Module) -> bool:
    """Whether the layer is one of ComfyUI's, whose weights may be elsewhere or in another precision than its input."""
    return hasattr(layer, "comfy_cast_weights") and "weight" in vars(layer).get("_parameters", {})


def _wrapped(layer: nn.Module) -> Callable[..., Any]:
    original = layer.forward
    weight_alone = _is_plain_product(layer)

    def forward(value: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled() or not value.requires_grad or not _casts(layer):
            return original(value, *args, **kwargs)
        return _Recast.apply(value, layer, lambda again: original(again, *args, **kwargs), weight_alone)

    return forward


def _casts(layer: Any) -> bool:
    if layer.weight is None:
        return False
    functions = getattr(layer, "weight_function", ()) or getattr(layer, "bias_function", ())
    return bool(layer.comfy_cast_weights or functions or not is_plain(layer.weight))


def _is_plain_product(layer: nn.Module) -> bool:
    """Whether the layer's result is its input times the weight that ComfyUI's cast gives, and a bias.

    Others, such as older fp8 layers with scales and other packs' own, are run again as a whole.
    """
    operations = importlib.import_module("comfy.ops")
    own = getattr(type(layer), "forward_comfy_cast_weights", None)
    plain = operations.disable_weight_init.Linear.forward_comfy_cast_weights
    return own is plain or type(layer).__qualname__ == "mixed_precision_ops.<locals>.MixedPrecisionOps.Linear"


class _Recast(torch.autograd.Function):
    """The layer without a graph; on the way back its weight is cast for the length of one product."""

    @staticmethod
    def forward(
        ctx: Any, value: torch.Tensor, layer: Any, run: Callable[[torch.Tensor], torch.Tensor], weight_alone: bool
    ) -> torch.Tensor:
        ctx.layer, ctx.run, ctx.weight_alone = layer, run, weight_alone
        ctx.dtype, ctx.autocast = value.dtype, autocast_state([value])
        if not weight_alone:
            ctx.save_for_backward(value)
        result = run(value)
        # A product of three axes may be a view of one of two. Nobody else has that one, and models write into results.
        return torch.ops.aten._unsafe_view(result, result.shape) if result._is_view() else result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (gradient,) = gradients
        if ctx.weight_alone:
            return (gradient @ _cast_weight(ctx.layer, gradient)).to(ctx.dtype), None, None, None
        (value,) = ctx.saved_tensors
        with torch.enable_grad(), torch.autocast(**ctx.autocast):
            again = value.detach().requires_grad_(True)
            (result,) = torch.autograd.grad(ctx.run(again), again, gradient)
        return result, None, None, None


def _cast_weight(layer: Any, like: torch.Tensor) -> torch.Tensor:
    """The layer's weight (out, in) in the dtype and on the device of `like`, a tensor of its own or to be used at once.

    ComfyUI's older way of casting, which takes no buffer that is used again.
    """
    weight, _ = importlib.import_module("comfy.ops").cast_bias_weight(layer, like)
    if not is_plain(weight):
        weight = weight.dequantize().to(like.dtype)
    scale = getattr(layer, "pre_quant_scale", None)
    return weight if scale is None else weight * scale.to(weight)
