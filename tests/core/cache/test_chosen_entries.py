"""Chosen entries are those that are marked, and none is made before it is asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from maskloss.core.cache.chosen_entries import ChosenEntries
from maskloss.core.cache.entries import CacheEntry
from maskloss.core.dataset.items import MaskOrigin

ENTRY = CacheEntry("", "f", MaskOrigin.NONE, 1.0, 1, (8, 8), (8, 8), (16, 1, 1, 1), "", "", "", 1)


class Made(Sequence[CacheEntry]):
    """Ten entries that are made on access, and counted."""

    count = 0

    def __getitem__(self, index: Any) -> Any:
        self.count += 1
        return replace(ENTRY, name=str(range(10)[index]))

    def __len__(self) -> int:
        return 10

    def __iter__(self) -> Iterator[CacheEntry]:
        return (self[row] for row in range(10))


def test_those_that_are_marked() -> None:
    entries = Made()
    chosen = ChosenEntries(entries, (row % 3 == 0 for row in range(10)))
    assert (len(chosen), entries.count) == (4, 0)
    assert [entry.name for entry in chosen] == ["0", "3", "6", "9"]
    assert (chosen[1].name, chosen[-1].name) == ("3", "9")
    assert [entry.name for entry in chosen[1:3]] == ["3", "6"]
    assert entries.count == 8
    with pytest.raises(IndexError):
        chosen[4]
    assert not ChosenEntries(entries, [False] * 10)
