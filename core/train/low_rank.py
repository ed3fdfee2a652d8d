"""A low-rank product added to a linear layer's output where that lies, with its gradients written out.

Autograd alone would copy the output and walk through more nodes; that shows in the time of a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable


def add_product(
    output: torch.Tensor, x: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scale: float
) -> torch.Tensor:
    """`output` (…, O) plus scale · x (…, I) · downᵀ (R, I) · upᵀ (O, R), all of one dtype, differentiable once.

    `output` is written to, so it must be contiguous and the layer's own: whoever kept it for the backward pass gets
    autograd's error.
    """
    result: torch.Tensor = _AddProduct.apply(output, x, down, up, scale)
    return result


class _AddProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, output: torch.Tensor, x: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scale: float
    ) -> torch.Tensor:
        x_NI = x.flatten(0, -2)
        # Not marked as dirty: of an output that is a view, which a product of three axes may be, autograd would then
        # copy every gradient. Its version tells of the change all the same.
        result = output.detach()
        with torch.autocast(x.device.type, enabled=False):
            inner_NR = torch.mm(x_NI, down.t()).mul_(scale)
            result.flatten(0, -2).addmm_(inner_NR, up.t())
        ctx.save_for_backward(x_NI, inner_NR, down, up)
        ctx.scale = scale
        return result

    @staticmethod
    @once_differentiable  # what is saved is not enough for more
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor, None]:
        (gradient,) = gradients
        x_NI, inner_NR, down, up = ctx.saved_tensors
        gradient_NO = gradient.flatten(0, -2)
        of_inner_NR = torch.mm(gradient_NO, up).mul_(ctx.scale)
        of_up = torch.mm(inner_NR.t(), gradient_NO).t()
        of_down = torch.mm(of_inner_NR.t(), x_NI)
        of_x = None
        if ctx.needs_input_grad[1]:
            # Not a view, to which autograd could not add the layer's own gradient in place.
            of_x = torch.ops.aten._unsafe_view(torch.mm(of_inner_NR, down), (*gradient.shape[:-1], down.shape[1]))
        # As it was flattened, which may have been a copy that the layer need not make again.
        return gradient_NO.view(gradient.shape), of_x, of_down, of_up, None
