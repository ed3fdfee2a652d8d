"""The frozen base held by us while a LoRA is trained in it: its layers run on weights that are kept otherwise than the
model keeps them, and the model itself is not touched."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from types import TracebackType
from typing import Any, TypeGuard, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn import grad as gradients

from ..autograd.opaque import OpaqueLayer
from ..autograd.recast import recast
from .block_swap import SwappedBlocks, to_main_memory
from .config import BaseConfig, BasePrecision
from .held_weights import HeldWeight, Hold, hold
from .sharded_blocks import ShardedBlocks

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
Product = nn.Linear | Convolution
_MAIN_MEMORY = torch.device("cpu")
Loaded = tuple[torch.Tensor, torch.Tensor | None]


@dataclass(frozen=True, eq=False)
class BaseLayer:
    """A frozen layer, its name, and `load(device)`: its weight and bias there, as they act. `block` is the repeated
    block that it belongs to, where that is one of those in main memory; `hold` makes of the weight what is kept;
    `sharded` is the block where it is sharded over processes."""

    name: str
    layer: Product
    load: Callable[[torch.device], Loaded]
    block: int | None = None
    hold: Hold = hold
    sharded: int | None = None


class HeldBase:
    """A context in which `layers` run on `device` on weights held as `config` says; their parameters stay as they are,
    and are not used. TrainingError where a weight cannot be held."""

    def __init__(self, layers: Sequence[BaseLayer], config: BaseConfig, device: torch.device) -> None:
        self._layers = tuple(layers)
        self._config = config
        self._device = device
        self._held: list[HeldWeight] = []
        self._swap = SwappedBlocks({}, device)
        self._sharded: ShardedBlocks | None = None
        self._before: list[tuple[nn.Module, Any]] = []

    def __enter__(self) -> HeldBase:
        try:
            with torch.no_grad():
                if self._config.peers is not None:
                    self._sharded = ShardedBlocks(self._config.peers, self._device)
                # A block at a time, so that no more than one is whole where they are sharded.
                runs = groupby(self._layers, lambda each: each.sharded)
                held = [layer for sharded, run in runs for layer in self._hold_run(sharded is not None, list(run))]
                self._held = [each.held for each in held]
                self._swap_in(held)
            for each in held:
                self._before.append((each.layer, each.layer.__dict__.get("forward")))
                cast(Any, each.layer).forward = _Forward(each)
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
        """What held weights take on the device; 0 outside of the context."""
        resident = zip(self._layers, self._held, strict=False)
        apart = self._swap.slot_bytes + (self._sharded.nbytes if self._sharded else 0)
        return sum(held.nbytes for each, held in resident if each.block is None) + apart

    @property
    def inside(self) -> int:
        """Bytes that an operation takes at most beside its result to make a weight of what is held."""
        return max((held.inside for held in self._held), default=0)

    @contextmanager
    def suspend(self) -> Generator[None]:
        """The model as it is, without what is held; held again on exit."""
        self._restore()
        try:
            yield
        finally:
            self.__enter__()

    def _hold_run(self, is_sharded: bool, layers: Sequence[BaseLayer]) -> list[_HeldLayer]:
        """Layers of one block, or of none that is sharded."""
        held = [_HeldLayer(each.layer, *self._hold(each)) for each in layers]
        if self._sharded and is_sharded:
            tensors = [tensor for each in held for tensor in each.held.tensors]
            block, start, bring = self._sharded.keep(tensors), 0, self._sharded.bring
            for each in held:
                where = slice(start, start + len(each.held.tensors))
                start = where.stop
                each.held = replace(each.held, tensors=())
                each.bring = lambda where=where: bring(block)[where]
        return held

    def _hold(self, each: BaseLayer) -> tuple[HeldWeight, torch.Tensor | None]:
        swapped, plain = each.block is not None, self._config.precision is BasePrecision.AS_LOADED
        apart = swapped or each.sharded is not None
        weight, bias = each.load(_MAIN_MEMORY if apart and plain else self._device)
        held = each.hold(each.name, weight, self._config.precision)
        if swapped:
            held = replace(held, tensors=tuple(map(to_main_memory, held.tensors)))
        return held, None if bias is None else bias.to(self._device)

    def _swap_in(self, held: Sequence[_HeldLayer]) -> None:
        blocks: dict[int, list[torch.Tensor]] = {}
        for layer, each in zip(self._layers, held, strict=True):
            if layer.block is not None:
                tensors = blocks.setdefault(layer.block, [])
                where = slice(len(tensors), len(tensors) + len(each.held.tensors))
                tensors += each.held.tensors
                each.bring = lambda block=layer.block, where=where: self._swap.bring(block)[where]
        self._swap = SwappedBlocks(blocks, self._device)

    def _restore(self) -> None:
        while self._before:
            layer, forward = self._before.pop()
            layer.__dict__.pop("forward", None)
            if forward is not None:
                layer.forward = forward
        self._swap.close()
        if self._sharded is not None:
            self._sharded.close()
        self._sharded = None
        self._held = []


def is_product(layer: nn.Module) -> TypeGuard[Product]:
    """Whether it is PyTorch's own linear layer or convolution, or one that inherits all of its arithmetic."""
    own = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return any(isinstance(layer, kind) and type(layer).forward is kind.forward for kind in own)


class _HeldLayer:
    def __init__(self, layer: Product, held: HeldWeight, bias: torch.Tensor | None) -> None:
        self.layer, self.held, self.bias = layer, held, bias
        self.bring: Callable[[], Sequence[torch.Tensor]] = lambda: held.tensors

    def run(self, value: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """What the layer gives for `value`, in the precision in which autocast or `value` asks for it."""
        device = value.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype
        bias = None if self.bias is None else self.bias.to(dtype)
        if isinstance(self.layer, Convolution):
            # Every layer's own, because ComfyUI's takes further arguments.
            return cast(Any, self.layer)._conv_forward(value, self.weight(dtype), bias, *args, **kwargs)
        matrix, scale = self.held.factors(self.bring(), dtype)
        if scale is None:
            return F.linear(value, matrix, bias)
        result = F.linear(value, matrix).mul_(scale)
        return result if bias is None else result.add_(bias)

    def weight(self, dtype: torch.dtype) -> torch.Tensor:
        return self.held.restore(self.bring(), dtype)

    def input_gradient(self, gradient: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        if not isinstance(self.layer, Convolution):
            matrix, scale = self.held.factors(self.bring(), gradient.dtype)
            return (gradient if scale is None else gradient * scale) @ matrix
        layer, weight = self.layer, self.weight(gradient.dtype)
        function = {3: gradients.conv1d_input, 4: gradients.conv2d_input, 5: gradients.conv3d_input}[weight.ndim]
        return function(shape, weight, gradient, layer.stride, layer.padding, layer.dilation, layer.groups)  # pyright: ignore[reportArgumentType]

    def has_plain_gradient(self, value: torch.Tensor) -> bool:
        if not isinstance(self.layer, Convolution):
            return True
        plain = self.layer.padding_mode == "zeros" and not isinstance(self.layer.padding, str)
        return plain and value.ndim == self.layer.weight.ndim


class _Forward:
    """Stands in place of a layer's forward."""

    def __init__(self, held: _HeldLayer) -> None:
        self._held = held
        linear = None if isinstance(held.layer, Convolution) else held.layer
        self._opaque = linear and OpaqueLayer(held.run, held.input_gradient, linear.out_features)

    def __call__(self, value: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        held = self._held
        if not torch.is_grad_enabled() or not value.requires_grad:
            return held.run(value, *args, **kwargs)
        plain = not args and not kwargs and held.has_plain_gradient(value)
        run = lambda again: held.run(again, *args, **kwargs)  # noqa: E731
        return recast(value, run, input_gradient=held.input_gradient if plain else None)

    def traced(self) -> Callable[..., torch.Tensor] | None:
        """What compiled code runs in place of this; None where it cannot."""
        return self._opaque
