"""Which tensors and layers autograd can work with as they are."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import nn


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether its values lie in its memory as they are, which those of quantised formats do not."""
    return type(tensor) in (torch.Tensor, nn.Parameter) and type(tensor.data) is torch.Tensor


def is_linear(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether it is a linear layer, or one in all but its class, as quantised ones are: a matrix and its two sizes."""
    sizes = (getattr(layer, "in_features", None), getattr(layer, "out_features", None))
    return isinstance(layer, nn.Linear) or (
        all(isinstance(size, int) for size in sizes) and getattr(getattr(layer, "weight", None), "ndim", 0) == 2
    )
