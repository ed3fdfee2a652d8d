"""Layers whose weights are cast as they run: the weights are re-cast (dequantised) in the backward pass, not saved.

Saved casts of fp8 or quantised weights would be a second copy of the model in full precision. Where weights are
streamed through re-used buffers, a saved buffer would hold another layer's weights by then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .checkpointing import autocast_state

Run = Callable[[torch.Tensor], torch.Tensor]
CastWeight = Callable[[torch.Tensor], torch.Tensor]
InputGradient = Callable[[torch.Tensor, torch.Size], torch.Tensor]


def recast(
    value: torch.Tensor, run: Run, cast_weight: CastWeight | None = None, input_gradient: InputGradient | None = None
) -> torch.Tensor:
    """`run(value)` without keeping its graph; only `value` gets a gradient.

    Where the result is `value` times a weight (plus a bias), `cast_weight(gradient)` returns that weight (out, in) in
    the dtype and on the device of its argument; where it is linear in `value` otherwise, `input_gradient(gradient,
    shape)` returns the gradient of `value`, which has that shape. Without either the backward pass calls `run` again.
    """
    if cast_weight is not None:
        input_gradient = lambda gradient, _shape: gradient @ cast_weight(gradient)  # noqa: E731
    result: torch.Tensor = _Recast.apply(value, run, input_gradient)
    return result


class _Recast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, run: Run, input_gradient: InputGradient | None) -> torch.Tensor:
        ctx.run, ctx.input_gradient = run, input_gradient
        ctx.dtype, ctx.shape, ctx.autocast = value.dtype, value.shape, autocast_state([value])
        if input_gradient is None:
            ctx.save_for_backward(value)
        result = run(value)
        # A 3D product may be a view of a 2D one. Models write into results, and nothing else uses the base tensor.
        return torch.ops.aten._unsafe_view(result, result.shape) if result._is_view() else result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = gradients
        if ctx.input_gradient is not None:
            return ctx.input_gradient(gradient, ctx.shape).to(ctx.dtype), None, None
        (value,) = ctx.saved_tensors
        with torch.enable_grad(), torch.autocast(**ctx.autocast):
            again = value.detach().requires_grad_(True)
            (result,) = torch.autograd.grad(ctx.run(again), again, gradient)
        return result, None, None
