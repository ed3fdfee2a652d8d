"""Which tensors autograd can use as they are, and which layers count as linear."""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import nn


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether it is a plain tensor, not one of a quantised format. One without values (PyTorch's FakeTensor) stands for
    a plain one."""
    if hasattr(tensor, "fake_mode"):
        return True
    return type(tensor) in (torch.Tensor, nn.Parameter) and type(tensor.data) is torch.Tensor


def is_linear(layer: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether it is an nn.Linear or a layer like one, such as a quantised one: 2D weight, in_features, out_features."""
    sizes = (getattr(layer, "in_features", None), getattr(layer, "out_features", None))
    return isinstance(layer, nn.Linear) or (
        all(isinstance(size, int) for size in sizes) and getattr(getattr(layer, "weight", None), "ndim", 0) == 2
    )
