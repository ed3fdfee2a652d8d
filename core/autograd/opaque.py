"""Frozen linear layers that `torch.compile` leaves as they are: one operation for a layer whose weight is cast,
dequantised or fetched as it runs.

Which layer it is reaches the compiled code as a tensor with its number, so that one piece of code serves the equal
layers of all blocks.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import library

_layers: WeakValueDictionary[int, OpaqueLayer] = WeakValueDictionary()
_numbers = itertools.count()
# One of its own for each name under which this package is imported.
_NAMESPACE = f"maskloss_{zlib.crc32(__name__.encode()):08x}"


class OpaqueLayer:
    """A frozen linear layer for compiled code. `run(value)` (…, I) → (…, O) and `input_gradient(gradient, shape)`,
    (…, O) → (…, I) of that shape, are called as they are, outside of autocast, and keep the dtype."""

    def __init__(
        self,
        run: Callable[[torch.Tensor], torch.Tensor],
        input_gradient: Callable[[torch.Tensor, torch.Size], torch.Tensor],
        outputs: int,
    ) -> None:
        self.run, self.input_gradient, self._outputs = run, input_gradient, outputs
        number = next(_numbers)
        _layers[number] = self
        self._number = torch.tensor(number)

    def __call__(self, value: torch.Tensor) -> torch.Tensor:
        """The layer's result, in the precision in which autocast or `value` asks for it. To be traced."""
        device = value.device.type
        if torch.is_autocast_enabled(device):
            value = value.to(torch.get_autocast_dtype(device))
        return _product(value, self._number, self._outputs)


def _run_product(value: torch.Tensor, number: torch.Tensor, outputs: int) -> torch.Tensor:
    with torch.autocast(value.device.type, enabled=False):
        return _layers[int(number)].run(value).contiguous()


def _run_gradient(gradient: torch.Tensor, number: torch.Tensor, inputs: int) -> torch.Tensor:
    with torch.autocast(gradient.device.type, enabled=False):
        shape = torch.Size((*gradient.shape[:-1], inputs))
        return _layers[int(number)].input_gradient(gradient, shape).contiguous()


def _shape_of(value: torch.Tensor, _number: torch.Tensor, size: int) -> torch.Tensor:
    return value.new_empty((*value.shape[:-1], size))


def _keep(ctx: Any, inputs: tuple[torch.Tensor, torch.Tensor, int], output: torch.Tensor) -> None:
    value, number, _ = inputs
    ctx.save_for_backward(number)
    ctx.inputs = value.shape[-1]


def _backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
    (number,) = ctx.saved_tensors
    return _gradient(gradient, number, ctx.inputs), None, None


_SCHEMA = "(Tensor value, Tensor number, SymInt size) -> Tensor"
_product = library.custom_op(f"{_NAMESPACE}::product", _run_product, mutates_args=(), schema=_SCHEMA)
_gradient = library.custom_op(f"{_NAMESPACE}::product_gradient", _run_gradient, mutates_args=(), schema=_SCHEMA)
_product.register_fake(_shape_of)
_gradient.register_fake(_shape_of)
_product.register_autograd(_backward, setup_context=_keep)
