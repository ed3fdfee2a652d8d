"""Weights in ComfyUI's own 4 bit format, NVFP4: E2M1 numbers, an FP8 scale for each 16 of a row, and one for all."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch

from ...errors import TrainingError
from ...frozen.config import BasePrecision
from ...frozen.held_weights import HeldWeight, refuse_non_finite_weight

# Largest E2M1 number times the largest FP8 scale.
_LARGEST = 6.0 * 448.0
# Bytes for each value of the weight: what comfy_kitchen's own Python takes while it restores one, beside the result.
_INSIDE = 6


def has_nvfp4() -> bool:
    """Whether this ComfyUI has the format."""
    return _layout() is not None


def require_nvfp4() -> None:
    """TrainingError where this ComfyUI does not have the format."""
    if not has_nvfp4():
        raise TrainingError(
            f"base_precision is {BasePrecision.NVFP4.value}, and this ComfyUI does not have that format, which comes "
            "with the package comfy_kitchen: update ComfyUI and its requirements, or set base_precision to int8."
        )


def hold_nvfp4(name: str, weight: torch.Tensor, _precision: BasePrecision) -> HeldWeight:
    """A weight (O, I) in 4 bits, filled up to multiples of 16. TrainingError where that of the layer `name` is not
    finite."""
    layout = _layout()
    scale = weight.abs().amax().float() / _LARGEST
    refuse_non_finite_weight(name, scale)
    # Without it a weight of zeros becomes one of NaN.
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    numbers, parameters = layout.quantize(weight.detach(), scale=scale)
    kind, (outputs, inputs) = type(parameters), weight.shape

    def restore(tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        numbers, scale, block_scale = tensors
        # float16 has no room for the product of the scales.
        wide = torch.float32 if dtype is torch.float16 else dtype
        given = kind(scale=scale, orig_dtype=wide, orig_shape=(outputs, inputs), block_scale=block_scale)
        return layout.dequantize(numbers, given)[:outputs, :inputs].to(dtype)

    tensors = (numbers, parameters.scale, parameters.block_scale)
    return HeldWeight(
        tensors, restore, lambda tensors, dtype: (restore(tensors, dtype), None), _INSIDE * outputs * inputs
    )


def _layout() -> Any:
    """ComfyUI's class of the format; None where it has none."""
    try:
        formats: Any = importlib.import_module("comfy.quant_ops")
    except ImportError:
        return None
    found = getattr(formats, "TensorCoreNVFP4Layout", None)
    return found if hasattr(found, "dequantize") else None
