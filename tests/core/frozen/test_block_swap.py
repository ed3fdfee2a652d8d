"""Blocks that come and go: always the right weights, whatever the order, and the next one ahead of use."""

from __future__ import annotations

import random

import pytest
import torch
from maskloss.core.frozen.block_swap import SwappedBlocks, to_main_memory

CPU = torch.device("cpu")


def made(count: int) -> dict[int, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return {
        7 * block: [
            torch.randn(3 + block, 5, generator=generator).bfloat16(),
            torch.randint(-127, 128, (4, 3), dtype=torch.int8, generator=generator),
            torch.randn(4, 1, generator=generator),
        ]
        for block in range(count)
    }


class Counted(SwappedBlocks):
    """Notes which blocks are copied while which one is at work."""

    copies: list[tuple[int | None, int]]

    def _copy(self, block, apart_from):
        if not hasattr(self, "copies"):
            self.copies = []
        self.copies.append((apart_from, block))
        return super()._copy(block, apart_from)


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_every_order_gives_every_block_its_own_tensors(count: int) -> None:
    blocks, chance = made(count), random.Random(0)
    swapped = SwappedBlocks(blocks, CPU)
    for _ in range(200):
        block = chance.choice(list(blocks))
        found = swapped.bring(block)
        for one, two in zip(found, blocks[block], strict=True):
            assert one.dtype is two.dtype
            assert torch.equal(one, two)
            assert one.data_ptr() != two.data_ptr(), "a copy on the device"
    swapped.close()


def test_two_slots_are_all_that_lies_on_the_device() -> None:
    one = made(6)
    largest = sum(-(-tensor.nbytes // 256) * 256 for tensor in one[35])
    assert SwappedBlocks(one, CPU).slot_bytes == 2 * largest
    assert SwappedBlocks(made(1), CPU).slot_bytes <= largest
    assert SwappedBlocks({}, CPU).slot_bytes == 0


def test_in_a_step_like_the_last_one_every_block_is_there_before_it_is_asked_for() -> None:
    """Forward, then backward, as a checkpointed step goes through them; every layer of a block asks."""
    swapped = Counted(made(4), CPU)
    step = [0, 0, 7, 7, 14, 21, 21, 14, 14, 7, 0]
    for _ in range(2):
        for block in step:
            swapped.bring(block)
    swapped.copies.clear()
    for block in step:
        before = len(swapped.copies)
        swapped.bring(block)
        assert all(at_work == block for at_work, _ in swapped.copies[before:]), "only ahead of use"
    assert 4 <= len(swapped.copies) <= 6


def test_the_first_pass_goes_as_the_blocks_are_numbered() -> None:
    swapped = Counted(made(4), CPU)
    for block in (0, 7, 14, 21):
        swapped.bring(block)
    assert [block for _, block in swapped.copies] == [0, 7, 14, 21, 0]


def test_what_is_in_main_memory_stays_where_it_is() -> None:
    tensor = torch.randn(3)
    assert to_main_memory(tensor) is tensor
