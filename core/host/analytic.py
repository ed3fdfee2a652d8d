"""Gradients written out, of what PyTorch would take apart into a dozen operations on the way back: rotary embeddings,
and RMS norms on the CPU."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable

_Rotate = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@contextmanager
def analytic_gradients() -> Generator[None]:
    """Inside, for as long as ComfyUI is told that it is training, `torch.nn.functional.rms_norm` and what ComfyUI's
    models rotate queries and keys with have such gradients; the values are theirs."""
    with ExitStack() as stack:
        stack.enter_context(_rms_norms())
        stack.enter_context(_rotations())
        yield


@contextmanager
def _rotations() -> Generator[None]:
    # Looked up by name whenever a model is called while `in_training`.
    flux: Any = importlib.import_module("comfy.ldm.flux.math")
    plain: _Rotate | None = getattr(flux, "_apply_rope1", None)
    if plain is None:
        yield
        return

    def rotate(x: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = _Rotation.apply(x, rotation, plain)
        return result

    flux._apply_rope1 = rotate
    try:
        yield
    finally:
        flux._apply_rope1 = plain


class _Rotation(torch.autograd.Function):
    """Pairs of numbers times 2x2 matrices (…, i, j); on the way back times the transposed ones."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rotation: torch.Tensor, plain: _Rotate) -> torch.Tensor:
        ctx.save_for_backward(rotation)
        ctx.plain = plain
        result = plain(x, rotation)
        # Not as the view that it may be: nobody else has what lies behind it, and models write into results.
        return torch.ops.aten._unsafe_view(result, result.shape)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor, None, None]:
        (rotation,) = ctx.saved_tensors
        return ctx.plain(gradient, rotation.transpose(-1, -2)), None, None


@contextmanager
def _rms_norms() -> Generator[None]:
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
