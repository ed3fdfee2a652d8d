"""Columns of an index that take little memory: texts in one piece, digests as bytes, numbers in arrays.

What repeats is kept once, and a number of it in each row.

Every column is a sequence of what it was built from, in order.
"""

from __future__ import annotations

import re
from array import array
from binascii import hexlify, unhexlify
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, cycle, islice
from typing import Any, TypeVar, overload

DIGEST_WIDTH = 64
_TEXT = "utf-8", "surrogatepass"
_HEX = re.compile("[0-9a-f]*")
# Until that many values are different, and more than half of all, they are kept as numbers; but not much more values.
_MOST_VALUES = 4096
_MOST_NUMBERED = 16 * _MOST_VALUES
_ROWS = 8192

T = TypeVar("T")


class _Column(Sequence[T]):
    """A sequence by its length and the value of a row."""

    def _value(self, row: int) -> T:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        rows = range(len(self))[index]
        return self._value(rows) if isinstance(rows, int) else [self._value(row) for row in rows]


class Cycle(_Column[Any]):
    """A few values over and over."""

    def __init__(self, values: Sequence[Any], count: int) -> None:
        if not values and count:
            raise ValueError(f"a column of {count} has no values")
        self.values, self._count = tuple(values), len(range(count))

    def _value(self, row: int) -> Any:
        return self.values[row % len(self.values)]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return islice(cycle(self.values), self._count)


class Numbered(_Column[Any]):
    """Values by their numbers in a list of different ones."""

    def __init__(self, values: Sequence[Any], rows: Sequence[int]) -> None:
        if rows and not (isinstance(rows, array) and rows.typecode in "qI"):
            raise ValueError("the rows of a column are no whole numbers")
        self.values, self._rows = values, rows if isinstance(rows, array) else array("I", rows)
        if rows and not 0 <= min(rows) <= max(rows) < len(self.values):
            raise ValueError(f"a column has rows beyond its {len(self.values)} values")
        if self._rows.typecode == "q":
            self._rows = array("I", self._rows)

    def _value(self, row: int) -> Any:
        return self.values[self._rows[row]]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return map(self.values.__getitem__, self._rows)


class Texts(_Column[str]):
    """Texts of any length."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q")

    def extend(self, texts: Sequence[str]) -> None:
        """Add `texts`."""
        pieces = [text.encode(*_TEXT) for text in texts]
        self._ends.extend(islice(accumulate(map(len, pieces), initial=len(self._bytes)), 1, None))
        self._bytes += b"".join(pieces)

    def _value(self, row: int) -> str:
        return self._bytes[self._ends[row - 1] if row else 0 : self._ends[row]].decode(*_TEXT)

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[str]:
        start, content = 0, self._bytes
        for end in self._ends:
            yield content[start:end].decode(*_TEXT)
            start = end


class Digests(_Column[str]):
    """Hexadecimal digests of 64 characters."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def extend_joined(self, text: bytes) -> None:
        """Add the digests in `text`. ValueError where it holds something else than whole ones."""
        self._bytes += unhexlify(text)
        if len(text) % DIGEST_WIDTH or text != text.lower():
            raise ValueError(f"a column of {len(text)} characters is not of width {DIGEST_WIDTH}")

    def _value(self, row: int) -> str:
        half = DIGEST_WIDTH // 2
        return self._bytes[row * half : (row + 1) * half].hex()

    def __len__(self) -> int:
        return len(self._bytes) * 2 // DIGEST_WIDTH

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(_cut(text) for text in self.joined())

    def joined(self) -> Iterator[str]:
        """Many at a time, one behind the other."""
        step = _ROWS * DIGEST_WIDTH // 2
        for start in range(0, len(self._bytes), step):
            yield hexlify(self._bytes[start : start + step]).decode()


class ColumnBuilder:
    """Builds a column of values as they come. `repeats`: whether few different ones are to be expected."""

    def __init__(self, repeats: bool) -> None:
        self._numbers: dict[Any, int] = {}
        self._rows: array[int] | None = array("I") if repeats else None
        self._kind: type | None = None
        self._column: Any = None

    def extend(self, values: Sequence[Any]) -> None:
        """Add `values`, which are not to be changed afterwards. TypeError where they cannot be compared."""
        if self._rows is not None:
            kinds = set(map(type, values)) - {type(None)} | ({self._kind} if self._kind else set[type]())
            if len(kinds) <= 1:  # 1 equals 1.0 and True, and is to come back as what it was
                self._kind = next(iter(kinds), None)
                numbers = self._numbers
                self._rows.extend([numbers.setdefault(value, len(numbers)) for value in values])
                different = len(numbers)
                if different > _MOST_NUMBERED or _MOST_VALUES < different > len(self._rows) // 2:
                    self._unfold()
                return
            self._unfold()
        if not values:
            return
        if self._column is None:
            self._column = _fitting(values)
        if not _fits(self._column, values):
            self._column = _wider(self._column, values)
        if isinstance(self._column, Digests):
            self._column.extend_joined("".join(values).encode())
        else:
            self._column.extend(values)

    def built(self) -> Sequence[Any]:
        """The column. Nothing is added afterwards."""
        if self._rows is not None:
            return Numbered(list(self._numbers), self._rows)
        return [] if self._column is None else self._column

    def _unfold(self) -> None:
        values, rows = list(self._numbers), self._rows or array("I")
        self._rows, self._numbers = None, {}
        for start in range(0, len(rows), _ROWS):
            self.extend([values[row] for row in rows[start : start + _ROWS]])


def packed(values: Sequence[Any]) -> Sequence[Any]:
    """The column of `values`."""
    builder = ColumnBuilder(repeats=False)
    builder.extend(values)
    return builder.built()


def _fitting(values: Sequence[Any]) -> Any:
    for column in (Digests(), Texts(), array("q"), array("d")):
        if _fits(column, values):
            return column
    return []


def _fits(column: Any, values: Sequence[Any]) -> bool:
    kinds = set(map(type, values))
    if isinstance(column, Digests):
        same = kinds == {str} and set(map(len, values)) == {DIGEST_WIDTH}
        return same and all(map(_HEX.fullmatch, values))
    if isinstance(column, Texts):
        return kinds <= {str}
    if isinstance(column, array):
        whole = column.typecode == "q"
        return kinds <= {int if whole else float} and (not whole or all(-(2**63) <= value < 2**63 for value in values))
    return True


def _wider(column: Any, values: Sequence[Any]) -> Any:
    """The same values in a column that takes `values` too."""
    wider: Any = Texts() if isinstance(column, Digests) and set(map(type, values)) <= {str} else []
    wider.extend(list(column))
    return wider


def _cut(text: str) -> Iterator[str]:
    return (text[start : start + DIGEST_WIDTH] for start in range(0, len(text), DIGEST_WIDTH))
