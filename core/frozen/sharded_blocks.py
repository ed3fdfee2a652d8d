"""Blocks sharded over the processes that train together: each keeps its part of every block's weights on its device,
and the whole block comes together from all of them, in both passes, for as long as it is at work; the next one is on
its way meanwhile (`block_order`), where all processes are at the same block.

They are frozen, so nothing is ever written back. Processes need not run the same passes: whenever one comes to another
block all say which one they want, and one that waits for the others joins in.

Why not PyTorch's own `fully_shard` (FSDP2; tried with torch 2.11.0 on two gloo ranks, frozen blocks, adapters outside
of them): the gradients are the same to rounding (6e-8), with checkpointing too, and each rank keeps its half. But its
ranks must run the same passes. One that had a pass more than the other stood in it until the timeout of the process
group, half an hour where nobody sets it, and so did the other in its next sum. Here passes differ: uneven windows,
teachers, what rank 0 evaluates and samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import torch

from ..errors import InternalError, TrainingError
from .block_order import SLOTS, BlockOrder

_ALIGNMENT = 256
# In the place of a block: the slot is empty, nothing is wanted, or what follows is here already.
_NONE, _HERE = -1, -2


class Peers(Protocol):
    """The processes, of which this is number `rank` of `size`; all call each of these together."""

    rank: int
    size: int
    joins: list[Callable[[], object]]
    """What to call before this process waits for the others by other means."""

    def exchange(self, own: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The numbers of each process, as many from each."""
        ...

    def gather(self, part: torch.Tensor, whole: torch.Tensor | None, to: int | None) -> None:
        """The parts (n,) uint8 of all, one after the other, into `whole` (size · n,) in the process `to`, or in all."""
        ...

    def gather_ahead(self, part: torch.Tensor, whole: torch.Tensor) -> Callable[[], object]:
        """Begin what `gather` does in all of them; `whole` may be read when what is given back has been called."""
        ...


@dataclass(eq=False)
class _Slot:
    """Memory for one whole block, which is there when `arrives` has been called."""

    memory: torch.Tensor
    block: int = _NONE
    tensors: tuple[torch.Tensor, ...] = ()
    arrives: Callable[[], object] | None = None

    def wait(self) -> None:
        arrives, self.arrives = self.arrives, None
        if arrives is not None:
            arrives()


class ShardedBlocks:
    """The tensors of some blocks, by the order in which they were kept; whole on `device` two at a time.

    `bring` may write into what it gave for another block. `join` is among the peers' `joins` until `close`.
    """

    def __init__(self, peers: Peers, device: torch.device) -> None:
        self._peers, self._device = peers, device
        self._parts: list[torch.Tensor] = []
        self._layouts: list[list[tuple[int, torch.Tensor]]] = []
        self._slots: list[_Slot] = []
        self._order = BlockOrder(())
        self._current = _NONE
        peers.joins.append(self.join)

    @property
    def nbytes(self) -> int:
        """What this process's parts and the two whole blocks take on the device."""
        return sum(part.nbytes for part in self._parts) + sum(slot.memory.nbytes for slot in self._slots)

    def keep(self, tensors: Sequence[torch.Tensor]) -> int:
        """Keep this process's part of a further block, whose number is given back. The tensors are not needed then.
        Before any block is brought."""
        layout: list[tuple[int, torch.Tensor]] = []
        end = 0
        for tensor in tensors:
            layout.append((end, torch.empty_like(tensor, device="meta", memory_format=torch.contiguous_format)))
            end += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
        length = -(-end // (self._peers.size * _ALIGNMENT)) * _ALIGNMENT
        first = self._peers.rank * length
        part = torch.zeros(length, dtype=torch.uint8, device=self._device)
        for (start, _), tensor in zip(layout, tensors, strict=True):
            there = slice(max(start, first), min(start + tensor.nbytes, first + length))
            if there.start < there.stop:
                own = tensor.contiguous().view(-1).view(torch.uint8)[there.start - start : there.stop - start]
                part[there.start - first : there.stop - first].copy_(own)
        self._parts.append(part)
        self._layouts.append(layout)
        self._make_room(length * self._peers.size)
        return len(self._parts) - 1

    def bring(self, block: int) -> tuple[torch.Tensor, ...]:
        """A block's tensors on the device."""
        if block != self._current:
            following = self._order.come(block)
            ahead = _HERE if following == block or self._find(following) else following
            self._meet(_NONE if self._find(block) else block, ahead, (block, following))
            self._current = block
        slot = self._find(block)
        if slot is None:
            raise InternalError(f"sharded blocks: block {block} did not come")
        slot.wait()
        return slot.tensors

    def join(self) -> None:
        """Give the others their blocks until they all wait for this process."""
        while self._meet(_NONE, _NONE, (_NONE, _NONE)):
            pass
        # All go on from here with the same block, whichever each of them was at.
        self._current = _NONE

    def close(self) -> None:
        """Give the memory back. The others must want nothing more."""
        if self.join in self._peers.joins:
            self._peers.joins.remove(self.join)
        for slot in self._slots:
            # From a process that is gone nothing comes.
            with suppress(TrainingError):
                slot.wait()
        self._slots.clear()
        self._parts.clear()
        self._layouts.clear()
        self._current = _NONE

    def _make_room(self, size: int) -> None:
        """Slots for blocks of `size` bytes, as many as there are blocks for."""
        room = max([size, *(slot.memory.numel() for slot in self._slots)])
        self._slots.clear()
        for _ in range(min(SLOTS, len(self._parts))):
            self._slots.append(_Slot(torch.empty(room, dtype=torch.uint8, device=self._device)))
        self._order = BlockOrder(range(len(self._parts)))

    def _meet(self, wanted: int, ahead: int, needed: tuple[int, int]) -> bool:
        """Whether any process is at a block; all have the ones that they want now, and what is `ahead` is on its way
        where it is the same for all. `needed`: the blocks that have to be in the slots, the first above all."""
        told = self._peers.exchange((wanted, ahead))
        if all(pair == (_NONE, _NONE) for pair in told):
            return False
        wants = [want for want, _ in told]
        together = len(set(wants)) == 1
        for to, block in enumerate(wants[:1] if together else wants):
            if block == _NONE:
                continue
            mine = together or to == self._peers.rank
            whole = self._fill(block, needed) if mine else None
            self._peers.gather(self._parts[block], whole, None if together else to)
        if ahead >= 0 and len(set(told)) == 1:
            whole = self._fill(ahead, needed[:1])
            arrives = self._peers.gather_ahead(self._parts[ahead], whole)
            slot = self._find(ahead)
            if slot is not None:
                slot.arrives = arrives
        return True

    def _find(self, block: int) -> _Slot | None:
        return next((slot for slot in self._slots if slot.block == block), None)

    def _fill(self, block: int, needed: Sequence[int]) -> torch.Tensor:
        """Where a block is to come together, in a slot that has none of those that are needed."""
        slot = next((slot for slot in self._slots if slot.block not in needed), self._slots[0])
        slot.wait()
        slot.block = block
        slot.tensors = tuple(
            slot.memory[start : start + like.nbytes].view(like.dtype).view(like.shape)
            for start, like in self._layouts[block]
        )
        return slot.memory[: self._parts[block].numel() * self._peers.size]
