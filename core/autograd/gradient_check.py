"""Gradient check before the first step: checkpointed, plain and finite-difference gradients of the real model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError
from .checkpointing import BlockCheckpointing, mutation_allowed
from .tensors import is_linear, map_values, tensors_in

_MAX_RELATIVE_ERROR = 1e-4
# The same operations run twice, but kernels of low precision may add in another order.
_MAX_RELATIVE_ERROR_LOW_PRECISION = 2e-2
# Against finite differences, whose own error grows with rounding; a wrong gradient is nearly always far off.
_MAX_DIFFERENCE_ERROR = 1e-2
# Step sizes of the finite differences, for gains of 1. At least one is large against rounding (at 1e-2 the tiny blocks
# of the tests are right to 3e-4) and small enough for the block to be almost linear; none makes a wrong gradient right.
_STEPS = (1e-2, 1e-3, 2e-4)
# Gains that differ by rounding alone, whose results tell how much of a difference is rounding.
_ROUNDED_GAINS = tuple(1.0 + count * torch.finfo(torch.float32).eps for count in range(4))
# Of the whole gradient; a smaller part is lost in rounding (such as that of a layer whose result is normalised).
_LEAST_FRACTION = 1e-3
_NOTHING = 1e-30
# Far enough from 1 to change a result in low precision.
_CHANGED_GAIN = 1.5


@dataclass(frozen=True, eq=False)
class _Call:
    block: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def result(self) -> Any:
        """The block's result on copies of its arguments, so that it can be called again."""
        kwargs = {name: _copy_value(value) for name, value in self.kwargs.items()}
        return self.block(*(_copy_value(value) for value in self.args), **kwargs)


def check_gradients(checkpointing: BlockCheckpointing, run: Callable[[], object]) -> None:
    """Check the first block of each class: checkpointed against plain gradients, these against central differences (in
    fp32), and whether a layer that affects the result is detached. Records in `checkpointing.mutating` which classes
    change saved tensors in place.

    `run` is a small forward pass that reaches the blocks. Checkpointing must be installed. TrainingError when
    gradients differ or a block has no backward pass.
    """
    for call in _record_calls(checkpointing.blocks, run):
        kind = type(call.block)
        try:
            if _overwrites_saved_values(call):
                raise _gradient_error(
                    f"{kind.__name__} would use saved tensors that are overwritten before the backward pass"
                )
            plain = _plain_gradients(call, checkpointing)
            with checkpointing.set_active(True):
                checkpointed = _gradients(call, mutating=False)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as problem:
            raise TrainingError(
                f"{kind.__name__} of this model cannot be differentiated here ({problem}); choose another attention "
                "backend or weight format, and see whether a node has patched the model."
            ) from problem
        low = _is_low_precision(call)
        error = float((checkpointed - plain).norm() / plain.norm().clamp(min=_NOTHING))
        limit = _MAX_RELATIVE_ERROR_LOW_PRECISION if low else _MAX_RELATIVE_ERROR
        if not error <= limit:
            found = f"relative error {error:.1e}, at most {limit:.0e} is right"
            raise _gradient_error(f"{kind.__name__} come out wrong with gradient checkpointing ({found})")
        if _has_detached_layer(call, kind in checkpointing.mutating):
            raise _gradient_error(f"some layers of {kind.__name__} are detached from the backward pass")
        # In low precision finite differences say nothing.
        error = 0.0 if low else _finite_difference_error(call, plain)
        if not error <= _MAX_DIFFERENCE_ERROR:
            found = f"relative error {error:.1e}, at most {_MAX_DIFFERENCE_ERROR:.0e} is right"
            raise _gradient_error(f"{kind.__name__} differ from finite differences ({found})")


def record_mutating_blocks(checkpointing: BlockCheckpointing, run: Callable[[], object]) -> None:
    """Record which classes change saved tensors in place, all that a model without values can be asked."""
    for call in _record_calls(checkpointing.blocks, run):
        _plain_gradients(call, checkpointing)


def _plain_gradients(call: _Call, checkpointing: BlockCheckpointing) -> torch.Tensor:
    """Gradients without checkpointing; records whether the block's class overwrites its inputs or saved tensors."""
    kind = type(call.block)
    checkpointing.mutating.add(kind)
    if _writes_to_inputs(call):
        return _gradients(call, mutating=True)
    try:
        plain = _gradients(call, mutating=False)
    except RuntimeError as problem:
        if "inplace operation" not in str(problem):
            raise
        return _gradients(call, mutating=True)
    checkpointing.mutating.discard(kind)
    return plain


def _writes_to_inputs(call: _Call) -> bool:
    """Whether the block changes its inputs in place: harmless without checkpointing, if nothing else needs them."""
    args, kwargs = (
        [_copy_value(value) for value in call.args],
        {name: _copy_value(value) for name, value in call.kwargs.items()},
    )
    tensors = tensors_in((*args, *kwargs.values()))
    versions = [tensor._version for tensor in tensors]
    with torch.no_grad():
        call.block(*args, **kwargs)
    return versions != [tensor._version for tensor in tensors]


def _gradient_error(what: str) -> TrainingError:
    return TrainingError(
        f"The gradients of {what}, so training would learn nonsense; remove what patches the model or its attention "
        "(sage attention has no backward pass), load it without offloading, and report the model."
    )


def _overwrites_saved_values(call: _Call) -> bool:
    """Whether a tensor saved for the backward pass is overwritten behind autograd's back, as a re-used cast buffer is.

    It hardly shows in the gradient of a block whose residual path (`x + …`) dominates.
    """
    kept: list[tuple[torch.Tensor, int, float]] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append((tensor, tensor._version, _checksum(tensor)))
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        args = [map_values(value, _fresh_leaf) for value in call.args]
        kwargs = {name: map_values(value, _fresh_leaf) for name, value in call.kwargs.items()}
        result = call.block(
            *_clone_leaves(args), **dict(zip(kwargs, _clone_leaves(list(kwargs.values())), strict=True))
        )
        changed = any(tensor._version == version and _checksum(tensor) != value for tensor, version, value in kept)
        del result
    return changed


def _checksum(tensor: torch.Tensor) -> float:
    # Masks and positions are saved for the backward pass as well.
    values = tensor.detach() if tensor.is_floating_point() or tensor.is_complex() else tensor.detach().float()
    return float(values.abs().nan_to_num().sum(dtype=_sum_dtype(tensor)))


def _is_low_precision(call: _Call) -> bool:
    """Whether it computes in 16 bits or fewer, where the same operations may give different results."""
    values = [value for value in tensors_in((*call.args, *call.kwargs.values())) if value.is_floating_point()]
    return any(value.dtype not in (torch.float32, torch.float64) for value in (*call.block.parameters(), *values))


def _record_calls(blocks: Sequence[nn.Module], run: Callable[[], object]) -> list[_Call]:
    """How the first block of each class is called in a forward pass; those never called are left out."""
    first: dict[type[nn.Module], nn.Module] = {}
    for block in blocks:
        first.setdefault(type(block), block)
    calls: dict[type[nn.Module], _Call] = {}

    def record(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = {name: _copy_value(value) for name, value in kwargs.items()}
        calls.setdefault(type(block), _Call(block, tuple(_copy_value(value) for value in args), values))

    with ExitStack() as hooks:
        for block in first.values():
            hooks.callback(block.register_forward_pre_hook(record, with_kwargs=True).remove)
        with torch.no_grad():
            run()
    return list(calls.values())


def _copy_value(value: Any) -> Any:
    # The rest of the pass may overwrite them.
    def copied(each: Any) -> Any:
        if isinstance(each, torch.Tensor):
            return each.detach().clone()
        return dict(each) if isinstance(each, dict) else each

    return map_values(value, copied)


def _fresh_leaf(value: Any) -> Any:
    return value.clone().requires_grad_(True) if _is_floating(value) else value


def _gradients(call: _Call, mutating: bool) -> torch.Tensor:
    """Gradients of a fixed projection of the block's result by its inputs and by the gain of each linear layer."""
    args = [map_values(value, _fresh_leaf) for value in call.args]
    kwargs = {name: map_values(value, _fresh_leaf) for name, value in call.kwargs.items()}
    inputs = [value for value in tensors_in((*args, *kwargs.values())) if value.requires_grad]
    with torch.enable_grad(), _gains(call.block) as gains, mutation_allowed() if mutating else nullcontext():
        # Not the leaves themselves: a block may write to its inputs.
        loss = _projection(
            call.block(*_clone_leaves(args), **dict(zip(kwargs, _clone_leaves(list(kwargs.values())), strict=True)))
        )
        torch.autograd.backward([loss])
    leaves = [*inputs, *gains]
    return torch.cat([torch.zeros(leaf.numel()) if leaf.grad is None else _flatten(leaf.grad) for leaf in leaves])


def _finite_difference_error(call: _Call, gradient: torch.Tensor) -> float:
    """Relative error of the gradient by the linear layers' gains, along itself, against central differences, of the
    step size that fits best. What rounding can explain is left away, up to `_MAX_DIFFERENCE_ERROR`.

    Where it is small, relative to a fraction of the whole gradient. By the gains, because a block may be far from
    linear in its inputs: a norm of zero padding is.
    """
    count = sum(is_linear(module) for module in call.block.modules())
    if count == 0:
        return 0.0
    by_gain = gradient[len(gradient) - count :]
    length, least = float(by_gain.norm()), _LEAST_FRACTION * float(gradient.norm())
    # Where the gradient is about zero, the difference along any direction must be as well.
    direction = by_gain / length if length > least else torch.full_like(by_gain, count**-0.5)
    expected, scale = float(by_gain @ direction), max(length, least, _NOTHING)

    def project(factors: list[float]) -> float:
        with torch.no_grad(), _gains(call.block, factors):
            return float(_projection(call.result()))

    rounded = [project([gain] * count) for gain in _ROUNDED_GAINS]
    rounding = max(rounded) - min(rounded)
    errors: list[float] = []
    for step in _STEPS:
        ends = [project((1.0 + sign * step * direction).tolist()) for sign in (1, -1)]
        error = abs((ends[0] - ends[1]) / (2 * step) - expected) / scale
        errors.append(max(0.0, error - min(rounding / (2 * step) / scale, _MAX_DIFFERENCE_ERROR)))
    return min(errors)


def _has_detached_layer(call: _Call, mutating: bool) -> bool:
    """Whether a linear layer affects the block's result but gets no gradient."""
    with torch.enable_grad(), _gains(call.block) as gains, mutation_allowed() if mutating else nullcontext():
        result = _projection(call.result())
        if result.requires_grad:
            result.backward()
    if all(gain.grad is not None for gain in gains):
        return False
    changed = [_CHANGED_GAIN if gain.grad is None else 1.0 for gain in gains]
    values: list[float] = []
    for factors in (None, None, changed):
        with torch.no_grad(), _gains(call.block, factors):
            values.append(float(_projection(call.result())))
    return values[0] == values[1] != values[2]


def _projection(result: Any) -> torch.Tensor:
    """A fixed random projection of everything that a block returns, a scalar."""
    outputs = [each for each in (result if isinstance(result, (tuple, list)) else (result,)) if torch.is_tensor(each)]
    generator = torch.Generator().manual_seed(0)
    drawn = [torch.randn(output.shape, generator=generator).to(output.device) for output in outputs]
    pairs = zip(outputs, drawn, strict=True)
    return torch.stack([(each.float() * factors).sum(dtype=_sum_dtype(each)) for each, factors in pairs]).sum()


def _sum_dtype(output: torch.Tensor) -> torch.dtype:
    # Apple GPUs have no float64.
    return torch.float32 if output.device.type == "mps" else torch.float64


def _is_floating(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point()


def _clone_leaves(values: Sequence[Any]) -> list[Any]:
    def cloned(value: Any) -> Any:
        return value.clone() if isinstance(value, torch.Tensor) and value.requires_grad else value

    return [map_values(value, cloned) for value in values]


def _flatten(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.detach().to("cpu", torch.float32).flatten()


@contextmanager
def _gains(block: nn.Module, factors: Sequence[float] | None = None) -> Generator[list[torch.Tensor]]:
    """A factor (of 1, unless given) with a gradient on the result of each linear layer, where an adapter would act."""
    linear = [module for module in block.modules() if is_linear(module)]
    gains = [torch.tensor(factor, requires_grad=True) for factor in factors or [1.0] * len(linear)]

    def hook(gain: torch.Tensor) -> Callable[..., torch.Tensor]:
        def scale(_layer: nn.Module, _args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
            return output * gain.to(output.device, output.dtype)

        return scale

    with ExitStack() as hooks:
        for module, gain in zip(linear, gains, strict=True):
            hooks.callback(module.register_forward_hook(hook(gain)).remove)
        yield gains
