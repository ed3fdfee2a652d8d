"""Some of a cache's entries: as many as there may be, each is made when it is asked for."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress
from typing import overload

from .entries import CacheEntry


class ChosenEntries(Sequence[CacheEntry]):
    """Those of `entries` whose row is marked, in their order."""

    def __init__(self, entries: Sequence[CacheEntry], marks: Iterable[bool]) -> None:
        self._entries = entries
        self._rows = array("q", compress(range(len(entries)), marks))

    @overload
    def __getitem__(self, index: int) -> CacheEntry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[CacheEntry, ...]: ...
    def __getitem__(self, index: int | slice) -> CacheEntry | tuple[CacheEntry, ...]:
        rows = self._rows[index]
        return self._entries[rows] if isinstance(rows, int) else tuple(self._entries[row] for row in rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[CacheEntry]:
        return (self._entries[row] for row in self._rows)
