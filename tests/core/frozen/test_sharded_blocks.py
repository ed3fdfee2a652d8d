"""Blocks that come together from their parts, in threads in place of processes; `tests/core/train/test_sharded_base.py`
has processes that train so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from maskloss.core.frozen.sharded_blocks import ShardedBlocks

CPU = torch.device("cpu")
KINDS = (torch.float32, torch.bfloat16, torch.int8)


class Table:
    """Where all meet: what each has put there."""

    def __init__(self, size: int) -> None:
        self.size, self.put = size, dict[int, object]()
        self.barrier = threading.Barrier(size, timeout=60)


class Thread:
    """One of several threads, as one of several processes."""

    def __init__(self, rank: int, table: Table) -> None:
        self.rank, self.size, self.joins = rank, table.size, list[Callable[[], object]]()
        self._table, self.gathered = table, list[int | str | None]()

    def exchange(self, own: tuple[int, ...]) -> list[tuple[int, ...]]:
        return [each for each in self._meet(own) if isinstance(each, tuple)]

    def gather(self, part: torch.Tensor, whole: torch.Tensor | None, to: int | None) -> None:
        self.gathered.append(to)
        parts = [each for each in self._meet(part) if isinstance(each, torch.Tensor)]
        assert (whole is not None) == (to in (None, self.rank))
        if whole is not None:
            whole.copy_(torch.cat(parts))

    def gather_ahead(self, part: torch.Tensor, whole: torch.Tensor) -> Callable[[], object]:
        """Nothing is there before it is waited for."""
        self.gathered.append("ahead")
        parts = [each.clone() for each in self._meet(part) if isinstance(each, torch.Tensor)]
        whole.fill_(0x55)
        return lambda: whole.copy_(torch.cat(parts))

    def _meet(self, own: object) -> list[object]:
        self._table.put[self.rank] = own
        self._table.barrier.wait()
        found = [self._table.put[rank] for rank in range(self.size)]
        self._table.barrier.wait()
        return found


def blocks() -> list[list[torch.Tensor]]:
    """Of several kinds and odd lengths, so that parts end within a tensor; one has nothing."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(7, 13), (1,), (300, 5), (3, 2, 5)]
    made = [[torch.randn(shape, generator=generator).mul(50).to(kind) for kind in KINDS] for shape in shapes]
    return [*made, []]


# As a pass goes, and its backward pass.
TO_AND_FRO = [0, 1, 2, 3, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "orders",
    [[[0, 1, 2, 3, 4, 0]] * 2, [[0, 0, 2], [3]], [[1, 2, 3], [3, 2], []], [TO_AND_FRO * 2, [2, *TO_AND_FRO]]],
    ids=["alike", "apart", "three", "shifted"],
)
def test_each_has_the_blocks_it_wants_when_it_wants_them(orders: list[list[int]]) -> None:
    table, kept = Table(len(orders)), blocks()

    def live(rank: int) -> Thread:
        thread = Thread(rank, table)
        shared = ShardedBlocks(thread, CPU)
        numbers = [shared.keep(block) for block in kept]
        for wanted in orders[rank]:
            found = shared.bring(numbers[wanted])
            assert [each.dtype for each in found] == [each.dtype for each in kept[wanted]]
            assert all(torch.equal(one, other) for one, other in zip(found, kept[wanted], strict=True))
        for join in thread.joins:
            join()
        everything = sum(tensor.nbytes for block in kept for tensor in block)
        whole = max(sum(tensor.nbytes for tensor in block) for block in kept)
        # What is kept is rounded up: tensors to 256 bytes, blocks to as much for each.
        rounding = 256 * (sum(map(len, kept)) + 2 * len(kept) + 2 * len(orders))
        least = everything / len(orders) + 2 * whole
        assert least <= shared.nbytes <= least + rounding
        shared.close()
        assert shared.nbytes == 0
        assert thread.joins == []
        return thread

    with ThreadPoolExecutor(len(orders)) as pool:
        threads = list(pool.map(live, range(len(orders))))
    # Who wants the same as all others at that time has it in one go.
    assert (set(threads[0].gathered) == {None, "ahead"}) == (orders[0] == orders[-1])


def passes(threads: list[Thread], orders: list[list[list[int]]]) -> list[list[int | str | None]]:
    """How the blocks came in each of several passes, at whose ends the threads wait for one another."""
    kept = blocks()

    def live(thread: Thread) -> list[list[int | str | None]]:
        shared = ShardedBlocks(thread, CPU)
        for block in kept:
            shared.keep(block)
        found = []
        for wanted in orders[thread.rank]:
            thread.gathered.clear()
            for number in wanted:
                pairs = zip(shared.bring(number), kept[number], strict=True)
                assert all(torch.equal(one, other) for one, other in pairs)
            shared.join()
            found.append(list(thread.gathered))
        shared.close()
        return found

    with ThreadPoolExecutor(len(threads)) as pool:
        first, *_ = pool.map(live, threads)
        return first


def test_a_pass_that_repeats_itself_waits_for_no_block() -> None:
    table = Table(2)
    first, second, third = passes([Thread(rank, table) for rank in range(2)], [[TO_AND_FRO] * 3] * 2)
    # At the turn the guess is that it begins anew. What a pass ends with is there when the next begins.
    assert first == [None, *["ahead"] * 5, *[None] * 4]
    assert second == third == ["ahead"] * 6


def test_one_that_was_alone_in_a_pass_is_soon_in_step_again() -> None:
    table = Table(2)
    forward = [0, 1, 2, 3, 4]
    orders = [[TO_AND_FRO, forward, TO_AND_FRO], [TO_AND_FRO, [], TO_AND_FRO]]
    _, alone, together = passes([Thread(rank, table) for rank in range(2)], orders)
    assert "ahead" not in alone
    assert together[-5:] == ["ahead"] * 5
