"""Per-block gradient checkpointing that is right for blocks which change their inputs in place (`img += …`).

`torch.utils.checkpoint` gives such blocks silently wrong gradients: its recomputation runs on inputs that the forward
pass has overwritten, and it cannot carry the context that keeps overwritten values. Here a block runs on clones of its
inputs in the forward pass and again in the backward pass, there with mutation of saved tensors allowed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

mutation_allowed = torch.autograd.graph.allow_mutation_on_saved_tensors


class BlockCheckpointing:
    """Checkpointing of the given blocks, switched on and off by `active`.

    `mutating` are the classes of blocks that may overwrite tensors saved for the backward pass: all of them, until
    `check_gradients` has found that a class does not.
    """

    def __init__(self, blocks: Iterable[nn.Module]) -> None:
        self.blocks = tuple(blocks)
        self.mutating: set[type[nn.Module]] = {type(block) for block in self.blocks}
        self.active = False
        self.functional: Callable[[], bool] = lambda: False
        """Whether the blocks run by themselves without overwriting what is saved for their backward pass."""

    @contextmanager
    def install(self) -> Generator[None]:
        """Replace the blocks' forward; restored on exit."""
        before = [(block, block.__dict__.get("forward")) for block in self.blocks]
        try:
            for block in self.blocks:
                block.forward = self._wrap_block(block)
            yield
        finally:
            for block, forward in before:
                block.__dict__.pop("forward", None)
                if forward is not None:
                    block.forward = forward

    @contextmanager
    def set_active(self, active: bool) -> Generator[None]:
        """Switch checkpointing on or off; restored on exit."""
        before, self.active = self.active, active
        try:
            yield
        finally:
            self.active = before

    def _wrap_block(self, block: nn.Module) -> Callable[..., Any]:
        original = block.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            if not self.active or not torch.is_grad_enabled():
                return original(*args, **kwargs)
            return run_checkpointed(original, args, kwargs, type(block) in self.mutating, self.functional())

        return forward


def run_checkpointed(
    block: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], mutating: bool, functional: bool = False
) -> Any:
    """The block's result; the backward pass recomputes the block instead of keeping its activations.

    Gradients reach the tensors in `args` and `kwargs` (also inside of tuples, lists and dataclasses), and, as they do
    with `backward` but not with `torch.autograd.grad`, every leaf that the block uses. A `mutating` block runs on
    clones, and may overwrite what is saved for its backward pass, unless it is `functional` and sees to that itself.
    """
    tensors: list[torch.Tensor] = []
    template = extract_tensors((tuple(args), tuple(kwargs.values())), tensors)
    results: list[Any] = []

    def run(values: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        positional, named = insert_tensors(template, values)
        outputs: list[torch.Tensor] = []
        results[:] = [extract_tensors(block(*positional, **dict(zip(kwargs, named, strict=True))), outputs)]
        return outputs

    # With frozen inputs alone the result would have no gradient, though an adapter inside the block needs one.
    anchor = torch.empty(0, requires_grad=True)
    outputs = cast("tuple[torch.Tensor, ...]", _Recompute.apply(_Block(run, mutating, functional), anchor, *tensors))
    return insert_tensors(results[0], outputs)


@dataclass(frozen=True, eq=False)
class _Block:
    run: Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]
    mutating: bool
    functional: bool

    def prepare_inputs(self, tensors: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
        return [tensor.clone() for tensor in tensors] if self.mutating else tensors

    def mutation_context(self) -> AbstractContextManager[object]:
        return mutation_allowed() if self.mutating and not self.functional else nullcontext()


class _Recompute(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, block: _Block, anchor: torch.Tensor, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.block = block
        ctx.autocast = autocast_state(tensors)
        ctx.save_for_backward(*tensors)
        with torch.no_grad():
            return tuple(block.run(block.prepare_inputs(tensors)))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        block: _Block = ctx.block
        needed = ctx.needs_input_grad[2:]
        inputs = [tensor.detach().requires_grad_(need) for tensor, need in zip(ctx.saved_tensors, needed, strict=True)]
        with torch.enable_grad(), torch.autocast(**ctx.autocast), block.mutation_context():
            outputs = block.run(block.prepare_inputs(inputs))
            pairs = [
                (output, gradient)
                for output, gradient in zip(outputs, gradients, strict=True)
                if output.requires_grad and gradient is not None
            ]
            if pairs:
                torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])
        return (None, None, *(tensor.grad for tensor in inputs))


def autocast_state(tensors: Sequence[torch.Tensor]) -> dict[str, Any]:
    """The current autocast settings, so that the block is recomputed in the same precision."""
    device = tensors[0].device.type if tensors else "cpu"
    return {
        "device_type": device,
        "dtype": torch.get_autocast_dtype(device),
        "enabled": torch.is_autocast_enabled(device),
        "cache_enabled": torch.is_autocast_cache_enabled(),
    }


@dataclass(frozen=True)
class _Slot:
    index: int


def extract_tensors(value: Any, tensors: list[torch.Tensor]) -> Any:
    """`value` with a slot for each floating-point tensor; the tensors are appended to `tensors`.

    Not by `torch.utils._pytree`, which is private and does not enter dataclasses, nor by `optree`, which would be
    another dependency.
    """
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point():
            return value
        tensors.append(value)
        return _Slot(len(tensors) - 1)
    return _map_items(value, lambda each: extract_tensors(each, tensors))


def insert_tensors(template: Any, tensors: Sequence[torch.Tensor]) -> Any:
    """What `extract_tensors` gave, with these tensors in its slots."""
    if isinstance(template, _Slot):
        return tensors[template.index]
    return _map_items(template, lambda each: insert_tensors(each, tensors))


def _map_items(value: Any, function: Callable[[Any], Any]) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(function, cast("tuple[Any, ...]", value)))
    if isinstance(value, (tuple, list)):
        return type(value)(map(function, cast("Iterable[Any]", value)))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: function(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)
    # A copy: models write into their options from block to block (`block_index`), recomputation needs this block's.
    return dict(cast("dict[Any, Any]", value)) if isinstance(value, dict) else value
