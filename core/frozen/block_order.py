"""Which block comes next, learnt from the order in which they came before: any order is right, and one that repeats
itself is known ahead."""

from __future__ import annotations

from collections.abc import Sequence

SLOTS = 2
"""Whole blocks on the device: one is at work, and one is on its way."""


class BlockOrder:
    """`following` is a guess; at first the blocks come in the order of `blocks`, and again from the front."""

    def __init__(self, blocks: Sequence[int]) -> None:
        self._first_guess = dict(zip(blocks, (*blocks[1:], *blocks[:1]), strict=True))
        self._next: dict[tuple[int | None, int], int] = {}
        self._before: int | None = None
        self._current: int | None = None

    def come(self, block: int) -> int:
        """Note that `block` comes, and give the one that should follow."""
        if self._current is not None:
            self._next[self._before, self._current] = block
        self._before, self._current = self._current, block
        return self._next.get((self._before, block), self._first_guess[block])
