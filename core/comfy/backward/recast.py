"""ComfyUI's own layers, whose weights it casts or fetches as they run, re-cast them in the backward pass."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ...autograd.opaque import OpaqueLayer
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
            layer.forward = _Recasting(layer)
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            layer.__dict__.pop("forward", None)
            if forward is not None:
                layer.forward = forward


def is_casting_layer(layer: nn.Module) -> bool:
    """Whether the layer is one of ComfyUI's, whose weights may be elsewhere or in another precision than its input."""
    return hasattr(layer, "comfy_cast_weights") and "weight" in vars(layer).get("_parameters", {})


class _Recasting:
    """Stands in place of a layer's forward."""

    def __init__(self, layer: Any) -> None:
        self._layer, self._original = layer, layer.forward
        self._cast_weight = partial(_cast_weight, layer) if _is_plain_product(layer) else None
        self._opaque: OpaqueLayer | None = None

    def __call__(self, value: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        original = self._original
        if not torch.is_grad_enabled() or not value.requires_grad or not _needs_cast(self._layer):
            return original(value, *args, **kwargs)
        return recast(value, lambda again: original(again, *args, **kwargs), self._cast_weight)

    def traced(self) -> Callable[..., torch.Tensor] | None:
        """What compiled code runs in place of this, as the layer is now; None where it cannot."""
        layer = self._layer
        if not _needs_cast(layer):
            return self._original
        if self._cast_weight is None:
            return _cast_norm(layer) if _is_here(layer) else None
        if self._opaque is None:
            cast_weight = self._cast_weight
            input_gradient = lambda gradient, _shape: gradient @ cast_weight(gradient)  # noqa: E731
            self._opaque = OpaqueLayer(self._original, input_gradient, layer.out_features)
        return self._opaque


def _is_here(layer: Any) -> bool:
    """Whether its weight is one that only has another dtype than its input may have."""
    functions = getattr(layer, "weight_function", ()) or getattr(layer, "bias_function", ())
    return is_plain(layer.weight) and not functions and layer.weight.device.type != "meta"


def _cast_norm(layer: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """A norm as ComfyUI runs it, whose weights have its input's dtype; None for anything else."""
    if not isinstance(layer, (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)):
        return None

    def forward(value: torch.Tensor) -> torch.Tensor:
        weight = layer.weight.to(value)
        bias: torch.Tensor | None = getattr(layer, "bias", None)
        bias = None if bias is None else bias.to(value)
        if isinstance(layer, nn.LayerNorm):
            return F.layer_norm(value, layer.normalized_shape, weight, bias, layer.eps)
        if isinstance(layer, nn.GroupNorm):
            return F.group_norm(value, layer.num_groups, weight, bias, layer.eps)
        return F.rms_norm(value, list(layer.normalized_shape), weight, layer.eps)

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
