"""Compiled blocks of a plain network: shared code, hooks, blocks that overwrite, and blocks that cannot be compiled.

Without code generation (`aot_eager`), which takes a compiler and its time.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from maskloss.core.autograd.checkpointing import BlockCheckpointing
from maskloss.core.autograd.compiled_blocks import CompiledBlocks
from maskloss.core.warning import collect_warnings
from torch import nn

WIDTH = 8


class Block(nn.Module):
    """Residual, as transformers' are; `overwrites` as Flux does."""

    def __init__(self, overwrites: bool = False) -> None:
        super().__init__()
        self.norm, self.first = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)
        self.second, self.overwrites = nn.Linear(WIDTH, WIDTH), overwrites

    def forward(self, x: torch.Tensor, options: dict[str, Any] | None = None) -> torch.Tensor:
        y = self.second(torch.tanh(self.first(self.norm(x))))
        if not self.overwrites:
            return x + y
        x += y
        x += torch.sin(self.second(self.norm(x)))
        return x


class Network(nn.Module):
    def __init__(self, overwrites: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(Block(overwrites) for _ in range(3))
        self.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def trained(
    network: Network, backend: str | None, checkpoint: bool, size: int = 5
) -> tuple[torch.Tensor, CompiledBlocks]:
    """The gradient of an adapter that a hook adds to each block's first layer, and what was compiled."""
    compiled = CompiledBlocks(network.blocks if backend else (), backend=backend or "")
    checkpointing = BlockCheckpointing(network.blocks)
    adapters = [torch.full((WIDTH,), 0.1 * index, requires_grad=True) for index in range(3)]
    hooks = [
        block.first.register_forward_hook(lambda _layer, args, output, a=a: output + args[0] * a)
        for block, a in zip(network.blocks, adapters, strict=True)
    ]
    if not network.blocks[0].overwrites:
        checkpointing.mutating.clear()
    compiled.mutating, checkpointing.functional = checkpointing.mutating, lambda: compiled.active
    x = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(1))
    with compiled.install(), checkpointing.install(), compiled.set_active(backend is not None):
        with checkpointing.set_active(checkpoint):
            result = network(x.clone())
        result.square().sum().backward()
    for hook in hooks:
        hook.remove()
    return torch.cat([adapter.grad for adapter in adapters if adapter.grad is not None]), compiled


@pytest.mark.parametrize("checkpoint", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("overwrites", [False, True], ids=["residual", "overwriting"])
def test_equal_blocks_share_code_and_gradients_are_the_same(overwrites: bool, checkpoint: bool) -> None:
    network = Network(overwrites)
    expected, _ = trained(network, None, True)
    with collect_warnings() as warnings:
        found, compiled = trained(network, "aot_eager", checkpoint)
    assert not warnings.texts
    torch.testing.assert_close(found, expected)
    assert compiled.graphs == 2, "with a gradient of the first input and without, or with a graph and without"
    assert compiled.note == f"compile_blocks: 2 pieces of code compiled so far, in {compiled.seconds:.0f} s."


def test_nothing_stays_in_the_network() -> None:
    network = Network()
    trained(network, "aot_eager", True)
    for module in network.modules():
        assert "forward" not in vars(module)
        assert not module._forward_hooks


@pytest.mark.parametrize("checkpoint", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("overwrites", [False, True], ids=["residual", "overwriting"])
def test_blocks_that_cannot_be_compiled_run_as_they_are(
    overwrites: bool, checkpoint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> Any:
        raise NotImplementedError("no such kernel")

    monkeypatch.setattr("maskloss.core.autograd.compiled_blocks._backend", lambda _name: fail)
    network = Network(overwrites)
    expected, _ = trained(network, None, True)
    with collect_warnings() as warnings:
        found, _ = trained(network, "aot_eager", checkpoint)
    torch.testing.assert_close(found, expected)
    (warning,) = warnings.texts
    assert warning.startswith("compile_blocks: Block runs uncompiled from here on")
    assert "no such kernel" in warning


def test_a_block_with_a_forward_of_its_own_is_left_alone() -> None:
    network, calls = Network(), []
    block = network.blocks[1]

    def forward(x: torch.Tensor) -> torch.Tensor:
        calls.append(torch.compiler.is_compiling())
        return type(block).forward(block, x)

    block.forward = forward
    compiled = CompiledBlocks(network.blocks, backend="aot_eager")
    with compiled.install(), compiled.set_active(True):
        network(torch.zeros(1, 2, WIDTH))
    assert calls == [False]
    assert block.forward is forward
