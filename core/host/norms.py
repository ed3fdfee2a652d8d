"""RMS norms: while a model is trained on the CPU, one operation with its gradient written out stands in for PyTorch's,
which is taken apart into a dozen there on the way back."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable


@contextmanager
def quick_norms() -> Generator[None]:
    """Inside, `torch.nn.functional.rms_norm` is that operation where it can be, while ComfyUI is told that it is
    training; elsewhere, and for what has a gradient of its own in the norm's weight, it is PyTorch's."""
    management: Any = importlib.import_module("comfy.model_management")
    plain = F.rms_norm

    def rms_norm(
        input: torch.Tensor,  # as PyTorch names it
        normalized_shape: Sequence[int],
        weight: torch.Tensor | None = None,
        eps: float | None = None,
    ) -> torch.Tensor:
        if management.in_training and _can_be_quick(input, normalized_shape, weight):
            result: torch.Tensor = _RmsNorm.apply(input, weight, torch.finfo(input.dtype).eps if eps is None else eps)
            return result
        return plain(input, normalized_shape, weight, eps)  # pyright: ignore[reportArgumentType]

    F.rms_norm = rms_norm
    try:
        yield
    finally:
        F.rms_norm = plain


def _can_be_quick(x: torch.Tensor, shape: Sequence[int], weight: torch.Tensor | None) -> bool:
    # On a GPU PyTorch has one kernel for the way back, and fp16 and bf16 are added up in fp32.
    quick = x.device.type == "cpu" and x.dtype == torch.float32 and len(shape) == 1
    return quick and (weight is None or (weight.dtype == x.dtype and not weight.requires_grad))


class _RmsNorm(torch.autograd.Function):
    """x · r · weight over the last axis, where r is 1 by the root of the mean square."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor | None, eps: float) -> torch.Tensor:
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        r = mean_square.add_(eps).rsqrt_()
        ctx.save_for_backward(x, r, weight)
        result = x * r
        return result if weight is None else result.mul_(weight)

    @staticmethod
    @once_differentiable  # what is saved is not enough for more
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None, None]:
        x, r, weight = ctx.saved_tensors
        gradient = gradient.clone() if weight is None else gradient * weight
        along = torch.linalg.vecdot(gradient, x).unsqueeze(-1).mul_(r**3).div_(x.shape[-1])
        return gradient.mul_(r).addcmul_(x, along, value=-1), None, None
