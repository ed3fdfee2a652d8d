"""Custom autograd functions with a fused backward: rotary embeddings, and RMS norms on the CPU.

PyTorch's own backward of these runs a dozen operations each. In compiled code, which fuses
them, they are plain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

Rotate = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def apply_rotation(x: torch.Tensor, rotation: torch.Tensor, plain: Rotate) -> torch.Tensor:
    """`plain(x, rotation)`: pairs of values times the 2x2 matrices of `rotation` (…, i, j), which get no gradient."""
    if torch.compiler.is_compiling():
        return plain(x, rotation)
    result: torch.Tensor = _Rotation.apply(x, rotation, plain)
    return result


def rms_norm(x: torch.Tensor, weight: torch.Tensor | None, eps: float | None) -> torch.Tensor:
    """`torch.nn.functional.rms_norm` over the last axis of float32 `x`; `weight` (that axis) gets no gradient."""
    result: torch.Tensor = _RmsNorm.apply(x, weight, torch.finfo(x.dtype).eps if eps is None else eps)
    return result


def is_faster_rms_norm(x: torch.Tensor, shape: Sequence[int], weight: torch.Tensor | None) -> bool:
    """Whether `rms_norm` here supports these arguments and is faster than PyTorch's."""
    # On a GPU PyTorch's backward is one kernel already, and it sums fp16 and bf16 in fp32.
    quick = (
        x.device.type == "cpu" and x.dtype == torch.float32 and len(shape) == 1 and not torch.compiler.is_compiling()
    )
    return quick and (weight is None or (weight.dtype == x.dtype and not weight.requires_grad))


class _Rotation(torch.autograd.Function):
    """Pairs of values times 2x2 matrices (…, i, j); in the backward pass times the transposed ones."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rotation: torch.Tensor, plain: Rotate) -> torch.Tensor:
        ctx.save_for_backward(rotation)
        ctx.plain = plain
        result = plain(x, rotation)
        # Not returned as a view, because models write into results in place; nothing else uses the base tensor.
        return torch.ops.aten._unsafe_view(result, result.shape)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None, None]:
        (rotation,) = ctx.saved_tensors
        return ctx.plain(gradient, rotation.transpose(-1, -2)), None, None


class _RmsNorm(torch.autograd.Function):
    """x · r · weight over the last axis, r = 1 / root mean square."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor | None, eps: float) -> torch.Tensor:
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        r = mean_square.add_(eps).rsqrt_()
        ctx.save_for_backward(x, r, weight)
        result = x * r
        return result if weight is None else result.mul_(weight)

    @staticmethod
    @once_differentiable  # no double backward: too little is saved for it
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None, None]:
        x, r, weight = ctx.saved_tensors
        gradient = gradient.clone() if weight is None else gradient * weight
        along = torch.linalg.vecdot(gradient, x).unsqueeze(-1).mul_(r**3).div_(x.shape[-1])
        return gradient.mul_(r).addcmul_(x, along, value=-1), None, None
