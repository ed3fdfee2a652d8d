"""Where in a training step memory is needed: marks the first, the inner and the last blocks of every run of equal
blocks, in the forward and in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from .counting import OUTSIDE, MemoryCount, Place

Blocks = Sequence[nn.Module]

_FIRST, _INNER, _LAST = 0, 1, 2


def equal_runs(network: nn.Module, least: int) -> list[tuple[nn.ModuleList, int, int]]:
    """The runs of at least `least` blocks of one class and of equal shapes: their list, where in it they begin, and how
    many there are."""
    found: list[tuple[nn.ModuleList, int, int]] = []
    for module in network.modules():
        if not isinstance(module, nn.ModuleList):
            continue
        kinds = [_kind(block) for block in module]
        start = 0
        for end in range(1, len(kinds) + 1):
            if end == len(kinds) or kinds[end] != kinds[start]:
                if end - start >= least:
                    found.append((module, start, end - start))
                start = end
    return found


def shorten_run(blocks: nn.ModuleList, start: int, count: int, left: int) -> None:
    """Take blocks out of a run of `count`, so that `left` are there."""
    del blocks[start + left : start + count]


@contextmanager
def mark_places(count: MemoryCount, runs: Sequence[Blocks]) -> Generator[None]:
    """Tell `count` which block of which run is running, forward and backward."""
    with ExitStack() as hooks:
        for number, blocks in enumerate(runs):
            for index, block in enumerate(blocks):
                where = _FIRST if index == 0 else _LAST if index == len(blocks) - 1 else _INNER
                hooks.callback(block.register_forward_pre_hook(_enter(count, ("forward", number, where))).remove)
                hooks.callback(block.register_forward_hook(_leave(count, ("backward", number, where))).remove)
        yield


def _kind(block: nn.Module) -> tuple[object, ...]:
    named = [*block.named_parameters(), *block.named_buffers()]
    return (type(block), *((name, tuple(tensor.shape), tensor.dtype) for name, tensor in named))


def _enter(count: MemoryCount, place: Place) -> Callable[..., None]:
    def enter(*_: object) -> None:
        count.place = place

    return enter


def _leave(count: MemoryCount, backward: Place) -> Callable[..., None]:
    def begin_backward(_: torch.Tensor) -> None:
        count.place = backward

    def leave(_block: nn.Module, _arguments: object, result: Any) -> None:
        count.place = OUTSIDE
        for output in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(output, torch.Tensor) and output.requires_grad:
                output.register_hook(begin_backward)

    return leave
