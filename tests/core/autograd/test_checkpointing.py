"""Gradients of checkpointed blocks that overwrite their inputs."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.autograd.checkpointing import BlockCheckpointing, mutation_allowed

from .blocks import Stack


def stack_gradients(stack: Stack, x: torch.Tensor) -> torch.Tensor:
    stack.zero_grad()
    (stack(x) ** 2).mean().backward()
    return torch.cat([parameter.grad.flatten() for parameter in stack.parameters() if parameter.grad is not None])


def test_in_place_blocks_get_the_gradients_of_the_plain_pass() -> None:
    stack, x = Stack(), torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    with mutation_allowed():
        plain = stack_gradients(stack, x)
    checkpointing = BlockCheckpointing(stack.blocks)
    with checkpointing.install(), checkpointing.set_active(True):
        checkpointed = stack_gradients(stack, x)
    assert checkpointed.shape == plain.shape
    torch.testing.assert_close(checkpointed, plain, rtol=1e-5, atol=1e-7)


def test_the_usual_checkpointing_would_be_wrong() -> None:
    """The reason for this file. Should torch come to refuse or mend it, so much the better: look at it again then."""
    stack, x = Stack(), torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    with mutation_allowed():
        plain = stack_gradients(stack, x)
    for block in stack.blocks:
        inner = block.forward

        def forward(x, gate, options, inner=inner):
            index = options["block_index"]
            run = lambda y: inner(y.clone(), gate, {"block_index": index})[0]  # noqa: E731
            return torch.utils.checkpoint.checkpoint(run, x, use_reentrant=False), index

        block.forward = forward
    try:
        usual = stack_gradients(stack, x)
    except RuntimeError:
        return
    assert (usual - plain).norm() > 1e-3 * plain.norm()


def test_activations_are_not_kept() -> None:
    stack, x = Stack(), torch.randn(4, 8)
    kept: list[int] = []
    checkpointing = BlockCheckpointing(stack.blocks)

    def forward_memory() -> int:
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.numel()), t)[1], lambda t: t):
            stack(x)
        return sum(kept)

    with checkpointing.install():
        plain = forward_memory()
        with checkpointing.set_active(True):
            assert forward_memory() < plain / 2


def test_blocks_are_left_as_they_were_also_after_an_exception() -> None:
    stack = Stack()
    own = stack.blocks[1].forward
    stack.blocks[1].forward = own
    checkpointing = BlockCheckpointing(stack.blocks)
    with pytest.raises(ZeroDivisionError), checkpointing.install():
        raise ZeroDivisionError
    assert "forward" not in vars(stack.blocks[0])
    assert stack.blocks[1].forward is own


def test_without_gradients_nothing_is_recomputed() -> None:
    stack, x = Stack(), torch.randn(4, 8)
    checkpointing = BlockCheckpointing(stack.blocks)
    with checkpointing.install(), checkpointing.set_active(True), torch.no_grad():
        assert not stack(x).requires_grad


def test_forward_and_backward_pass_have_the_same_precision() -> None:
    stack, x = Stack(), torch.randn(4, 8)
    seen: list[torch.dtype] = []
    stack.blocks[1].linear.register_forward_hook(lambda _m, _a, output: seen.append(output.dtype))
    checkpointing = BlockCheckpointing(stack.blocks)
    with checkpointing.install(), checkpointing.set_active(True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = stack(x)
        result.float().square().mean().backward()
    assert seen == [torch.bfloat16] * 4
