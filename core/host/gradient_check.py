"""Whether the gradients that training will use are right, tried on the real model before the first step."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import TrainingError
from .checkpointing import BlockCheckpointing, mutation_allowed

_MAX_RELATIVE_ERROR = 1e-4
# The same operations run twice, but kernels of low precision may add in another order.
_MAX_RELATIVE_ERROR_LOW_PRECISION = 2e-2


@dataclass(frozen=True, eq=False)
class _Call:
    block: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


def check_gradients(checkpointing: BlockCheckpointing, run: Callable[[], object]) -> None:
    """Compare checkpointed with plain gradients on the first block of each class, and learn which classes change saved
    values in place.

    `run` is a small forward pass that reaches the blocks. Checkpointing must be installed. TrainingError when the
    gradients differ or a block has no backward pass.
    """
    for call in _calls(checkpointing.blocks, run):
        kind = type(call.block)
        try:
            checkpointing.mutating.discard(kind)
            try:
                plain = _gradients(call, mutating=False)
            except RuntimeError as problem:
                if "inplace operation" not in str(problem):
                    raise
                checkpointing.mutating.add(kind)
                plain = _gradients(call, mutating=True)
            with checkpointing.on(True):
                checkpointed = _gradients(call, mutating=False)
        except RuntimeError as problem:
            raise TrainingError(
                f"{kind.__name__} of this model cannot be differentiated here ({problem}); choose another attention "
                "backend or weight format, and see whether a node has patched the model."
            ) from problem
        error = float((checkpointed - plain).norm() / plain.norm().clamp(min=1e-30))
        low = any(p.dtype in (torch.float16, torch.bfloat16) for p in call.block.parameters())
        limit = _MAX_RELATIVE_ERROR_LOW_PRECISION if low else _MAX_RELATIVE_ERROR
        if not error <= limit:
            raise TrainingError(
                f"The gradients of {kind.__name__} come out wrong with gradient checkpointing (relative error "
                f"{error:.1e}, at most {limit:.0e} is right), so training would learn nonsense; remove what patches "
                "the model, and report the model."
            )


def _calls(blocks: Sequence[nn.Module], run: Callable[[], object]) -> list[_Call]:
    """How the first block of each class is called in a forward pass; those never called are left out."""
    first: dict[type[nn.Module], nn.Module] = {}
    for block in blocks:
        first.setdefault(type(block), block)
    calls: dict[type[nn.Module], _Call] = {}

    def record(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = {name: _kept(value) for name, value in kwargs.items()}
        calls.setdefault(type(block), _Call(block, tuple(_kept(value) for value in args), values))

    with ExitStack() as hooks:
        for block in first.values():
            hooks.callback(block.register_forward_pre_hook(record, with_kwargs=True).remove)
        with torch.no_grad():
            run()
    return list(calls.values())


def _kept(value: Any) -> Any:
    # The pass goes on and may overwrite them.
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return dict(value) if isinstance(value, dict) else value


def _gradients(call: _Call, mutating: bool) -> torch.Tensor:
    """Gradients of a fixed projection of the block's result by its inputs and by the gain of each linear layer."""
    inputs: list[torch.Tensor] = []

    def fresh(value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        inputs.append(value.clone().requires_grad_(True))
        return inputs[-1]

    args = [fresh(value) for value in call.args]
    kwargs = {name: fresh(value) for name, value in call.kwargs.items()}
    with torch.enable_grad(), _gains(call.block) as gains, mutation_allowed() if mutating else nullcontext():
        # Not the leaves themselves: a block may write to its inputs.
        result = call.block(*_copied(args), **dict(zip(kwargs, _copied(list(kwargs.values())), strict=True)))
        outputs = [each for each in (result if isinstance(result, tuple) else (result,)) if torch.is_tensor(each)]
        generator = torch.Generator().manual_seed(0)
        loss = sum(
            (output.float() * torch.randn(output.shape, generator=generator).to(output.device)).sum()
            for output in outputs
        )
        torch.autograd.backward([loss])  # type: ignore[list-item]
    leaves = [*inputs, *gains]
    return torch.cat([torch.zeros(leaf.numel()) if leaf.grad is None else _flat(leaf.grad) for leaf in leaves])


def _copied(values: Sequence[Any]) -> list[Any]:
    return [value.clone() if isinstance(value, torch.Tensor) and value.requires_grad else value for value in values]


def _flat(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.detach().to("cpu", torch.float32).flatten()


@contextmanager
def _gains(block: nn.Module) -> Generator[list[torch.Tensor]]:
    """A factor of 1 with a gradient on the result of each linear layer, where an adapter would act."""
    gains: list[torch.Tensor] = []

    def hook(gain: torch.Tensor) -> Callable[..., torch.Tensor]:
        def scale(_layer: nn.Module, _args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
            return output * gain.to(output.device, output.dtype)

        return scale

    with ExitStack() as hooks:
        for module in block.modules():
            if isinstance(module, nn.Linear):
                gain = torch.ones((), requires_grad=True)
                gains.append(gain)
                hooks.callback(module.register_forward_hook(hook(gain)).remove)
        yield gains
