"""Blocks sharded over the processes that train together: each keeps its part of every block's weights on its device,
and the whole block comes together from all of them, in both passes, for as long as it is at work.

They are frozen, so nothing is ever written back. Processes need not run the same passes: before a block comes together
all say which one they want, and one that waits for the others joins in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

_NONE = -1
_ALIGNMENT = 256


class Peers(Protocol):
    """The processes, of which this is number `rank` of `size`; all call each of these together."""

    rank: int
    size: int
    joins: list[Callable[[], object]]
    """What to call before this process waits for the others by other means."""

    def exchange(self, own: int) -> list[int]:
        """The number of each process."""
        ...

    def gather(self, part: torch.Tensor, whole: torch.Tensor | None, to: int | None) -> None:
        """The parts (n,) uint8 of all, one after the other, into `whole` (size · n,) in the process `to`, or in all."""
        ...


class ShardedBlocks:
    """The tensors of some blocks, by the order in which they were kept; whole on `device` one at a time.

    `bring` may write into what it gave for another block. `join` is among the peers' `joins` until `close`.
    """

    def __init__(self, peers: Peers, device: torch.device) -> None:
        self._peers, self._device = peers, device
        self._parts: list[torch.Tensor] = []
        self._layouts: list[list[tuple[int, torch.Tensor]]] = []
        self._whole = torch.empty(0, dtype=torch.uint8, device=device)
        self._views: tuple[torch.Tensor, ...] = ()
        self._current = _NONE
        peers.joins.append(self.join)

    @property
    def nbytes(self) -> int:
        """What this process's parts and the block at work take on the device."""
        return sum(part.nbytes for part in self._parts) + self._whole.nbytes

    def keep(self, tensors: Sequence[torch.Tensor]) -> int:
        """Keep this process's part of a further block, whose number is given back. The tensors are not needed then."""
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
        room = length * self._peers.size
        if room > self._whole.numel():
            self._whole = torch.empty(room, dtype=torch.uint8, device=self._device)
            self._current = _NONE
        return len(self._parts) - 1

    def bring(self, block: int) -> tuple[torch.Tensor, ...]:
        """A block's tensors on the device."""
        if block != self._current:
            self._meet(block)
        return self._views

    def join(self) -> None:
        """Give the others their blocks until they all wait for this process."""
        while self._meet(_NONE):
            pass

    def close(self) -> None:
        """Give the memory back. The others must want nothing more."""
        if self.join in self._peers.joins:
            self._peers.joins.remove(self.join)
        self._parts.clear()
        self._layouts.clear()
        self._whole = torch.empty(0, dtype=torch.uint8, device=self._device)
        self._views, self._current = (), _NONE

    def _meet(self, wanted: int) -> bool:
        """Whether any process wanted a block; all have theirs now."""
        wants = self._peers.exchange(wanted)
        together = len(set(wants)) == 1
        for to, block in enumerate(wants[:1] if together else wants):
            if block == _NONE:
                continue
            part, mine = self._parts[block], together or to == self._peers.rank
            whole = self._whole[: part.numel() * self._peers.size] if mine else None
            self._peers.gather(part, whole, None if together else to)
        if wanted != _NONE:
            self._current = wanted
            self._views = tuple(
                self._whole[start : start + like.nbytes].view(like.dtype).view(like.shape)
                for start, like in self._layouts[wanted]
            )
        return any(block != _NONE for block in wants)
