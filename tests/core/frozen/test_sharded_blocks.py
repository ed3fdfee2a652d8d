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
        self._table, self.gathered = table, list[int | None]()

    def exchange(self, own: int) -> list[int]:
        return [int(each) for each in self._meet(own)]  # type: ignore[call-overload]

    def gather(self, part: torch.Tensor, whole: torch.Tensor | None, to: int | None) -> None:
        self.gathered.append(to)
        parts = [each for each in self._meet(part) if isinstance(each, torch.Tensor)]
        assert (whole is not None) == (to in (None, self.rank))
        if whole is not None:
            whole.copy_(torch.cat(parts))

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


@pytest.mark.parametrize(
    "orders", [[[0, 1, 2, 3, 4, 0]] * 2, [[0, 0, 2], [3]], [[1, 2, 3], [3, 2], []]], ids=["alike", "apart", "three"]
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
        rounding = 256 * (sum(map(len, kept)) + 2 * len(kept) + len(orders))
        assert everything / len(orders) + whole <= shared.nbytes <= everything / len(orders) + whole + rounding
        shared.close()
        assert shared.nbytes == 0
        assert thread.joins == []
        return thread

    with ThreadPoolExecutor(len(orders)) as pool:
        threads = list(pool.map(live, range(len(orders))))
    # Who wants the same as all others at that time has it in one go.
    assert (set(threads[0].gathered) == {None}) == (orders[0] == orders[-1])
