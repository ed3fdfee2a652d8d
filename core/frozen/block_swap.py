"""Block swap: weights of blocks live in main memory and are brought onto the device ahead of use, in both passes.

They are frozen, so nothing is ever written back. Two slots on the device are enough: one block runs while the next is
on its way (`block_order`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch

from .block_order import SLOTS, BlockOrder

_ALIGNMENT = 256


class SwappedBlocks:
    """The tensors of some blocks, by block, in main memory; on `device` for as long as a block is at work.

    `bring` may write into what it gave for another block. On a CUDA device the copies run on a stream of their own,
    beside the computation where the tensors are pinned.
    """

    def __init__(self, blocks: Mapping[int, Sequence[torch.Tensor]], device: torch.device) -> None:
        self._blocks = {block: tuple(tensors) for block, tensors in sorted(blocks.items())}
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        size = max(map(slot_room, self._blocks.values()), default=0)
        self._slots = [_Slot(size, device) for _ in range(min(SLOTS, len(self._blocks)))]
        self._order = BlockOrder(tuple(self._blocks))
        self._current: int | None = None

    @property
    def slot_bytes(self) -> int:
        """What the slots take on the device, together."""
        return sum(slot.memory.nbytes for slot in self._slots)

    def bring(self, block: int) -> tuple[torch.Tensor, ...]:
        """The block's tensors on the device, ready for the current stream; the next block's are on their way."""
        slot = self._slot_of(block)
        if slot is not None and block == self._current:
            return slot.tensors
        if self._current is not None and (left := self._slot_of(self._current)) is not None:
            left.leave()
        slot = slot or self._copy(block, self._current)
        slot.wait()
        self._current = block
        following = self._order.come(block)
        if self._slot_of(following) is None:
            self._copy(following, block)
        return slot.tensors

    def close(self) -> None:
        """Wait for copies that are under way, and give the slots back."""
        if self._stream is not None:
            self._stream.synchronize()
        self._slots.clear()
        self._current = None

    def _slot_of(self, block: int | None) -> _Slot | None:
        return next((slot for slot in self._slots if slot.block == block), None)

    def _copy(self, block: int, apart_from: int | None) -> _Slot:
        """Start to copy a block into the slot that does not hold `apart_from`."""
        slot = next((slot for slot in self._slots if slot.block != apart_from), self._slots[0])
        slot.fill(block, self._blocks[block], self._stream)
        return slot


class _Slot:
    """Memory on the device for one block at a time."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.memory = torch.empty(size, dtype=torch.uint8, device=device)
        self.block: int | None = None
        self.tensors: tuple[torch.Tensor, ...] = ()
        self.ready: Any = None
        self.free: Any = None
        self.leave()

    def leave(self) -> None:
        """What the current stream has been given to do so far must be done before the memory is written to."""
        if self.memory.device.type == "cuda":
            self.free = torch.cuda.current_stream(self.memory.device).record_event()

    def wait(self) -> None:
        """Have the current stream wait until the block is here."""
        if self.ready is not None:
            torch.cuda.current_stream(self.memory.device).wait_event(self.ready)

    def fill(self, block: int, sources: Sequence[torch.Tensor], stream: torch.cuda.Stream | None) -> None:
        """Start to copy a block's tensors here."""
        self.block, start, views = block, 0, list[torch.Tensor]()
        for source in sources:
            part = self.memory[start : start + source.nbytes]
            views.append(part.view(source.dtype).view(source.shape))
            start += _room(source)
        self.tensors = tuple(views)
        with torch.no_grad(), nullcontext() if stream is None else torch.cuda.stream(stream):
            if stream is not None and self.free is not None:
                stream.wait_event(self.free)
            for view, source in zip(views, sources, strict=True):
                view.copy_(source, non_blocking=True)
            if stream is not None:
                self.ready = stream.record_event()


def to_main_memory(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor in main memory, pinned where it comes from a CUDA device; itself where it is there already."""
    if tensor.device.type == "cpu":
        return tensor
    there = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.device.type == "cuda")
    return there.copy_(tensor)


def slot_room(tensors: Sequence[torch.Tensor]) -> int:
    """Bytes that a block's tensors take in a slot."""
    return sum(map(_room, tensors))


def _room(tensor: torch.Tensor) -> int:
    return -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT
