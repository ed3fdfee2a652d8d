"""Which tensors autograd can use as they are, and which layers count as linear."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeGuard, cast

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


def map_values(value: Any, function: Callable[[Any], Any]) -> Any:
    """`function` of a value, or of each in a tuple or list of values, however deep."""
    if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
        items = cast("Iterable[Any]", value)
        return type(value)(map_values(each, function) for each in items)
    return function(value)


def tensors_in(values: Iterable[Any]) -> list[torch.Tensor]:
    """The tensors among values, and in tuples and lists of them."""
    found: list[torch.Tensor] = []
    for value in values:
        map_values(value, lambda each: found.append(each) if isinstance(each, torch.Tensor) else None)
    return found
