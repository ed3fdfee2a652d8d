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


def recast(value: torch.Tensor, run: Run, cast_weight: CastWeight | None = None) -> torch.Tensor:
    """`run(value)` without keeping its graph; only `value` gets a gradient.

    Where the result is `value` times a weight (plus a bias), `cast_weight(gradient)` returns that weight (out, in) in
    the dtype and on the device of its argument; without it the backward pass calls `run` again.
    """
    result: torch.Tensor = _Recast.apply(value, run, cast_weight)
    return result


class _Recast(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, run: Run, cast_weight: CastWeight | None) -> torch.Tensor:
        ctx.run, ctx.cast_weight = run, cast_weight
        ctx.dtype, ctx.autocast = value.dtype, autocast_state([value])
        if cast_weight is None:
            ctx.save_for_backward(value)
        result = run(value)
        # A 3D product may be a view of a 2D one. Models write into results, and nothing else uses the base tensor.
        return torch.ops.aten._unsafe_view(result, result.shape) if result._is_view() else result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = gradients
        if ctx.cast_weight is not None:
            return (gradient @ ctx.cast_weight(gradient)).to(ctx.dtype), None, None
        (value,) = ctx.saved_tensors
        with torch.enable_grad(), torch.autocast(**ctx.autocast):
            again = value.detach().requires_grad_(True)
            (result,) = torch.autograd.grad(ctx.run(again), again, gradient)
        return result, None, None
