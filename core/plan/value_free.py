"""Tensors without values: a shape, a dtype and a device, for which no memory is taken.

They go through the very code that trains. Where it asks one for its value, it is answered 1 or True.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from ..autograd.fused_backward import rms_norm
from .counting import storage_key

# Operations that autocast computes in fp32 on CUDA and not on the CPU, of those that networks are made of.
_FP32_ON_CUDA = {F.layer_norm, F.group_norm, torch.layer_norm, torch.group_norm}
_RMS_NORMS = {F.rms_norm, getattr(torch, "rms_norm", F.rms_norm)}
_ANSWERS: dict[str, Callable[[Any], Any]] = {
    "item": lambda value: value, "__bool__": bool, "__float__": float, "__int__": int, "__index__": int,
}  # fmt: skip


def value_free_mode() -> FakeTensorMode:
    """Entered, every new tensor is one without values. Outside of it real tensors stay real until they meet one."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def is_value_free(tensor: torch.Tensor) -> bool:
    """Whether it is one."""
    return isinstance(tensor, FakeTensor)


@contextmanager
def run_without_values(as_on_cuda: bool = False) -> Generator[None]:
    """In it code may ask tensors without values for one, change those in place that the backward pass needs, and move
    modules of such, which stay as they are.

    With `as_on_cuda` norms keep for the backward pass what they keep on a CUDA device, where tensors without values
    are all on the CPU.
    """
    with _AnswerForValues(as_on_cuda), ExitStack() as stack:
        # PyTorch tells saved tensors that are overwritten apart by their addresses, and those without values have none.
        for name in ("_get_tid", "_get_sid"):
            own: Callable[[torch.Tensor], tuple[Any, ...]] | None = getattr(torch.autograd.graph, name, None)
            if own is not None:
                stack.callback(setattr, torch.autograd.graph, name, own)
                setattr(torch.autograd.graph, name, _with_address(own))
        stack.callback(setattr, nn.Module, "to", nn.Module.to)
        nn.Module.to = _without_moving(nn.Module.to)
        yield


def zero_for_values() -> AbstractContextManager[object]:
    """In it tensors without values say 0 or False where they are asked for one: for networks to be made in, which may
    ask for rates of dropout."""
    return _AnswerForValues(False, lambda tensor: tensor.dtype.is_floating_point and 0.0)


@contextmanager
def selected_evenly(parts: int) -> Generator[None]:
    """In it a mask without values selects one of so many equal parts of the rows: as experts do, each of which takes
    the rows that are its own, whose sum is the same however they are shared out."""
    with _EvenSelection(parts):
        yield


class _EvenSelection(TorchDispatchMode):
    def __init__(self, parts: int) -> None:
        super().__init__()
        self._parts = parts

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten.index.Tensor:
            rows, indices = args
            args = (rows, [self._selected(each) for each in indices])
        return func(*args, **(kwargs or {}))

    def _selected(self, index: torch.Tensor | None) -> torch.Tensor | None:
        if index is None or index.dtype is not torch.bool or index.ndim != 1 or not is_value_free(index):
            return index
        return index.new_empty(-(-len(index) // self._parts), dtype=torch.int64)


def _without_moving(own: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """PyTorch exchanges such tensors with moved ones, and refuses to where anything refers to them."""

    def to(module: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
        return module if any(map(is_value_free, module.parameters())) else own(module, *args, **kwargs)

    return to


def _with_address(own: Callable[[torch.Tensor], tuple[Any, ...]]) -> Callable[[torch.Tensor], tuple[Any, ...]]:
    def key(tensor: torch.Tensor) -> tuple[Any, ...]:
        if not is_value_free(tensor):
            return own(tensor)
        return (*own(tensor), storage_key(tensor), tensor.storage_offset())

    return key


class _AnswerForValues(TorchFunctionMode):
    def __init__(self, as_on_cuda: bool, answer: Callable[[torch.Tensor], bool | float | int] | None = None) -> None:
        super().__init__()
        self._as_on_cuda = as_on_cuda
        self._answer = answer or _answer

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if (name == "tolist" or name in _ANSWERS) and args and is_value_free(args[0]):
            value = self._answer(args[0])
            return _nested(value, args[0].shape) if name == "tolist" else _ANSWERS[name](value)
        if name == "data_ptr" and args and is_value_free(args[0]):
            return storage_key(args[0])
        if self._as_on_cuda and func in _RMS_NORMS:
            return _fused_rms_norm(*args, **named)
        if self._as_on_cuda and func in _FP32_ON_CUDA and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return func(*map(_in_fp32, args), **{key: _in_fp32(value) for key, value in named.items()})
        return func(*args, **named)


def _answer(tensor: torch.Tensor) -> bool | float | int:
    if tensor.dtype is torch.bool:
        return True
    return 1.0 if tensor.is_floating_point() else 1


def _nested(value: bool | float | int, shape: tuple[int, ...]) -> Any:
    return [_nested(value, shape[1:]) for _ in range(shape[0])] if shape else value


def _in_fp32(value: Any) -> Any:
    low = isinstance(value, torch.Tensor) and value.is_floating_point() and value.dtype is not torch.float64
    return value.float() if low else value


def _fused_rms_norm(
    input: torch.Tensor, normalized_shape: Any, weight: torch.Tensor | None = None, eps: float | None = None
) -> torch.Tensor:
    return rms_norm(input, weight, eps)
