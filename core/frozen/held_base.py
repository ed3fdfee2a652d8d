"""The frozen base held by us while a LoRA is trained in it: its layers run on weights that are kept otherwise than the
model keeps them, and the model itself is not touched."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeGuard, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn import grad as gradients

from ..autograd.recast import recast
from .config import BaseConfig
from .held_weights import HeldWeight, hold

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Product = nn.Linear | Convolution
Loaded = tuple[torch.Tensor, torch.Tensor | None]


@dataclass(frozen=True, eq=False)
class BaseLayer:
    """A frozen layer, its name, and `load()`: its weight and bias as they act, on the device that computes."""

    name: str
    layer: Product
    load: Callable[[], Loaded]


class HeldBase:
    """A context in which `layers` run on weights held as `config` says; their parameters stay as they are, and are not
    used. TrainingError where a weight cannot be held."""

    def __init__(self, layers: Sequence[BaseLayer], config: BaseConfig) -> None:
        self._layers = tuple(layers)
        self._config = config
        self._held: dict[str, HeldWeight] = {}
        self._before: list[tuple[nn.Module, Any]] = []

    def __enter__(self) -> HeldBase:
        try:
            with torch.no_grad():
                for each in self._layers:
                    self._install(each)
        except BaseException:
            self._restore()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    @property
    def nbytes(self) -> int:
        """Of the held weights; 0 outside of the context."""
        return sum(held.nbytes for held in self._held.values())

    @contextmanager
    def suspend(self) -> Generator[None]:
        """The model as it is, without what is held; held again on exit."""
        self._restore()
        try:
            yield
        finally:
            self.__enter__()

    def _install(self, each: BaseLayer) -> None:
        weight, bias = each.load()
        held = hold(each.name, weight, self._config.precision)
        self._held[each.name] = held
        self._before.append((each.layer, each.layer.__dict__.get("forward")))
        each.layer.forward = _forward(_HeldLayer(each.layer, held, bias))

    def _restore(self) -> None:
        while self._before:
            layer, forward = self._before.pop()
            layer.__dict__.pop("forward", None)
            if forward is not None:
                layer.forward = forward
        self._held.clear()


def is_product(layer: nn.Module) -> TypeGuard[Product]:
    """Whether it is PyTorch's own linear layer or convolution, or one that inherits all of its arithmetic."""
    own = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return any(isinstance(layer, kind) and type(layer).forward is kind.forward for kind in own)


@dataclass(frozen=True, eq=False)
class _HeldLayer:
    layer: Product
    held: HeldWeight
    bias: torch.Tensor | None

    def run(self, value: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """What the layer gives for `value`, in the precision in which autocast or `value` asks for it."""
        device = value.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype
        weight = self.weight(dtype)
        bias = None if self.bias is None else self.bias.to(dtype)
        if isinstance(self.layer, Convolution):
            # Every layer's own, because ComfyUI's takes further arguments.
            return cast(Any, self.layer)._conv_forward(value, weight, bias, *args, **kwargs)
        return F.linear(value, weight, bias)

    def weight(self, dtype: torch.dtype) -> torch.Tensor:
        return self.held.restore(self.held.tensors, dtype)

    def input_gradient(self, gradient: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        weight = self.weight(gradient.dtype)
        if not isinstance(self.layer, Convolution):
            return gradient @ weight
        layer = self.layer
        function = {3: gradients.conv1d_input, 4: gradients.conv2d_input, 5: gradients.conv3d_input}[weight.ndim]
        return function(shape, weight, gradient, layer.stride, layer.padding, layer.dilation, layer.groups)  # pyright: ignore[reportArgumentType]

    def has_plain_gradient(self, value: torch.Tensor) -> bool:
        if not isinstance(self.layer, Convolution):
            return True
        plain = self.layer.padding_mode == "zeros" and not isinstance(self.layer.padding, str)
        return plain and value.ndim == self.layer.weight.ndim


def _forward(held: _HeldLayer) -> Callable[..., torch.Tensor]:
    def forward(value: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if not torch.is_grad_enabled() or not value.requires_grad:
            return held.run(value, *args, **kwargs)
        plain = not args and not kwargs and held.has_plain_gradient(value)
        run = lambda again: held.run(again, *args, **kwargs)  # noqa: E731
        return recast(value, run, input_gradient=held.input_gradient if plain else None)

    return forward
