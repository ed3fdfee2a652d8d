"""The repeated blocks of a ComfyUI model, compiled while it is trained."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ...autograd.checkpointing import BlockCheckpointing
from ...autograd.compiled_blocks import CompiledBlocks
from .architectures import repeated_blocks
from .last_block import FOREIGN, ROWS

_OPTIONS = "transformer_options"
# What differs from block to block or from step to step, and what only patches look at, of which there are none.
_UNSEEN = frozenset(
    {
        "activations_shape", "block", "block_index", "block_type", "callbacks", "cond_or_uncond", "original_shape",
        "sample_sigmas", "sigmas", "total_blocks", "transformer_index", "uuids", "wrappers",
    }
)  # fmt: skip


@contextmanager
def compiled_blocks(network: nn.Module, wanted: bool) -> Generator[CompiledBlocks]:
    """The network's repeated blocks, compiled while they are `active`; none without `wanted`. To be entered before
    anything else replaces their forward."""
    blocks = CompiledBlocks(repeated_blocks(network) if wanted else (), seen_arguments)
    with blocks.install():
        yield blocks


@contextmanager
def compile_from_now(compiled: CompiledBlocks, checkpointing: BlockCheckpointing) -> Generator[None]:
    """Compile the blocks, where any are to be, once it is known which of them write into saved tensors."""
    compiled.mutating = checkpointing.mutating
    checkpointing.functional = lambda: compiled.active
    with compiled.set_active(bool(compiled.blocks)):
        yield


def seen_arguments(named: dict[str, Any]) -> dict[str, Any] | None:
    """A block's keyword arguments as compiled code sees them; None for a call that cannot be compiled: one with
    patches, or one for some tokens of the last block, which ends by an exception."""
    options = named.get(_OPTIONS)
    if not isinstance(options, dict):
        return named
    if ROWS in options or any(options.get(name) for name in FOREIGN):
        return None
    return {**named, _OPTIONS: {name: value for name, value in options.items() if name not in _UNSEEN}}
