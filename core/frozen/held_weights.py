"""Frozen weights in fewer bits: what is kept of a weight, and the weight again from it.

Shapes: O outputs, I inputs; a convolution's weight is (O, I, *kernel). A row is all that belongs to one output.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import TrainingError, unhandled_choice
from .config import BasePrecision

_LEVELS = 127
# bfloat16 is the upper half of float32.
_LOWER_HALF = 0xFFFF


@dataclass(frozen=True, eq=False)
class HeldWeight:
    """A frozen weight as it is kept: `tensors`, and `restore(tensors, dtype)`, which makes the weight of them or of
    copies of them. Weights (O, I, *kernel) come back on the device of the tensors. `factors(tensors, dtype)` are a
    matrix and a scale for each row (O,), or None, whose product is the weight: a product with the matrix may be scaled
    where scaling the weight itself would take longer. `inside`: bytes that one operation of these takes beside its
    result, which no count of tensors sees."""

    tensors: tuple[torch.Tensor, ...]
    restore: Callable[[Sequence[torch.Tensor], torch.dtype], torch.Tensor]
    factors: Callable[[Sequence[torch.Tensor], torch.dtype], tuple[torch.Tensor, torch.Tensor | None]]
    inside: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of `tensors`."""
        return sum(tensor.nbytes for tensor in self.tensors)


Hold = Callable[[str, torch.Tensor, BasePrecision], HeldWeight]


def hold(name: str, weight: torch.Tensor, precision: BasePrecision) -> HeldWeight:
    """A weight (O, I, *kernel) in `precision`, `nvfp4` being `int8` here: for what has no 4 bits of its own.
    TrainingError where the weight of the layer `name` is not finite."""
    if precision is BasePrecision.AS_LOADED:
        if hasattr(weight, "__tensor_flatten__"):
            return _hold_quantised(weight)
        return HeldWeight((weight,), _restore_plain, lambda tensors, dtype: (_restore_plain(tensors, dtype), None))
    if precision not in (BasePrecision.INT8, BasePrecision.NVFP4):
        raise unhandled_choice(precision)
    levels, scale = to_int8(weight)
    refuse_non_finite_weight(name, scale)
    return HeldWeight((levels, scale), from_int8, int8_factors)


def refuse_non_finite_weight(name: str, scale: torch.Tensor) -> None:
    """TrainingError where the scales of a weight are not finite, because values of it are not."""
    if not torch.isfinite(scale).all():
        raise TrainingError(
            f"The weight of {name} has values that are not finite, so the model is damaged: load another file of it."
        )


def _hold_quantised(weight: Any) -> HeldWeight:
    """One of a quantised format, which is a tensor of tensors, as the weight that it stands for."""
    names, context = weight.__tensor_flatten__()
    kind, size, stride = type(weight), weight.size(), weight.stride()

    def restore(tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        parts = dict(zip(names, tensors, strict=True))
        return kind.__tensor_unflatten__(parts, context, size, stride).dequantize().to(dtype)

    tensors = tuple(getattr(weight, name) for name in names)
    return HeldWeight(tensors, restore, lambda tensors, dtype: (restore(tensors, dtype), None))


def to_int8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Levels (O, I, *kernel) int8 in [-127, 127] and scales (O, 1, …) float32, with weight ≈ levels · scale.

    A scale is the row's largest magnitude / 127, rounded up to a number that bfloat16 has, so that the product is the
    same in either precision up to its own rounding. A row of zeros has scale 1.
    """
    rows = weight.detach().float().flatten(1)
    peak = rows.abs().amax(dim=1, keepdim=True) / _LEVELS
    bits = peak.view(torch.int32)
    scale = torch.where(torch.isfinite(peak), ((bits + _LOWER_HALF) & ~_LOWER_HALF).view(torch.float32), peak)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    levels = rows.div_(scale) if rows.data_ptr() != weight.data_ptr() else rows / scale
    shape = (-1, *(1 for _ in weight.shape[1:]))
    return levels.round_().clamp_(-_LEVELS, _LEVELS).to(torch.int8).reshape(weight.shape), scale.reshape(shape)


def from_int8(tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    """levels · scale (O, I, *kernel) in `dtype`."""
    levels, scale = tensors
    if dtype is torch.float16:
        # Its range is too small for some scales.
        return torch.mul(levels, scale).to(dtype)
    return torch.mul(levels, scale.to(dtype))


def int8_factors(tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Levels and scales (O,) in `dtype`, which is exact in bfloat16 as in float32; float16 has no range for products
    with levels."""
    if dtype is torch.float16:
        return from_int8(tensors, dtype), None
    levels, scale = tensors
    return levels.to(dtype), scale.to(dtype).flatten()


def _restore_plain(tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    return tensors[0].to(dtype)
