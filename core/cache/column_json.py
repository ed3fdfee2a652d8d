"""A column of an index as JSON: written and read piece by piece, so that no text of all of it is made.

It is a plain list; or {"values", "count"} where the values repeat in a cycle, as one shared value does; or {"values",
"rows"} where few repeat; or, for hashes, {"width", "text"} with all of them in one string.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from operator import eq
from typing import Any, BinaryIO

import numpy as np

from ..dataset.items import MaskOrigin
from .packed_columns import DIGEST_WIDTH, ColumnBuilder, Cycle, Digests, Numbered, packed

_LONGEST_PERIOD = 4
_ROWS = 8192
_FEW = 1000
_MOST_LISTED = 65_536
_BLOCK_BYTES = 1 << 20
_DIGESTS, _VALUES, _THEN_ROWS = b'{"width": 64, "text": "', b'{"values": [', b'], "rows": ['
_THEN_COUNT = b'], "count": '
_dumps = partial(json.dumps, ensure_ascii=False, allow_nan=False)


def encode_column(column: Sequence[Any]) -> Iterator[str]:
    """Pieces of the JSON of a column. ValueError for numbers that are not finite."""
    count = len(column)
    period = next((k for k in range(1, _LONGEST_PERIOD + 1) if count > k and _repeats(column, k)), 0)
    if period:
        yield _dumps({"values": list(column[:period]), "count": count})
    elif (numbers := _numbered(column)) is not None:
        yield '{"values": ['
        yield from _listed(numbers)
        yield '], "rows": ['
        yield from _listed(map(numbers.__getitem__, column))
        yield "]}"
    elif isinstance(column, Digests) or all(isinstance(each, str) and len(each) == DIGEST_WIDTH for each in column):
        yield f'{{"width": {DIGEST_WIDTH}, "text": "'
        joined = column.joined() if isinstance(column, Digests) else (_dumps(text)[1:-1] for text in column)
        yield from joined
        yield '"}'
    else:
        yield "["
        yield from _listed(column)
        yield "]"


def decode_column(name: str, stored: Any) -> Sequence[Any]:
    """The column `name` from its parsed JSON. ValueError, LookupError or TypeError where it is none."""
    if isinstance(stored, list):
        return packed(_decode_values(name, stored))
    if "count" in stored:
        return Cycle(_decode_values(name, stored["values"]), stored["count"])
    if "width" in stored:
        text, width = stored["text"], stored["width"]
        if width < 1 or len(text) % width:
            raise ValueError(f"a column of {len(text)} characters is not of width {width}")
        return packed([text[start : start + width] for start in range(0, len(text), width)])
    return Numbered(_decode_values(name, stored["values"]), packed(stored["rows"]))


class ColumnReader:
    """Reads an index that has a line for each column. ValueError where it is none or damaged."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._rest = file, b""

    def tables(self) -> dict[str, Any]:
        """What is in it by its keys; under those that hold tables, columns by their names. Also LookupError, TypeError
        and OverflowError where it is damaged."""
        self._expect(b"{")
        stored: dict[str, Any] = {}
        while (key := self._key()) is not None:
            if not self._rest.startswith(b"{\n"):
                stored[key] = json.loads(self._line())
                continue
            self._expect(b"{")
            table: dict[str, Sequence[Any]] = {}
            while (name := self._key()) is not None:
                table[name] = self._column(name)
            self._expect(b"}")
            stored[key] = table
        self._expect(b"}")
        if self._rest or self._file.read(1):
            raise ValueError("more follows it")
        return stored

    def _expect(self, expected: bytes) -> None:
        if (line := self._line()) != expected:
            raise ValueError(f"{line[:64]!r} stands where {expected!r} should")

    def _more(self) -> None:
        block = self._file.read(_BLOCK_BYTES)
        if not block:
            raise ValueError("it is cut off")
        self._rest += block

    def _line(self) -> bytes:
        """The next line, a short one, without what ends it."""
        while b"\n" not in self._rest:
            self._more()
        line, _, self._rest = self._rest.partition(b"\n")
        return line.removesuffix(b",")

    def _key(self) -> str | None:
        """What the next line is named; what stands under it comes next. None for a line without a name."""
        while len(self._rest) < 2 or (b": " not in self._rest and b"\n" not in self._rest):
            self._more()
        if not self._rest.startswith(b'"'):
            return None
        key, _, self._rest = self._rest.partition(b": ")
        while len(self._rest) < len(_DIGESTS) and b"\n" not in self._rest:
            self._more()
        return json.loads(key)

    def _column(self, name: str) -> Sequence[Any]:
        if self._rest.startswith(b"["):
            self._rest = self._rest[1:]
            return self._list(name, b"]")
        if self._rest.startswith(_DIGESTS):
            self._rest = self._rest[len(_DIGESTS) :]
            return self._digests()
        if self._rest.startswith(_VALUES):
            self._rest = self._rest[len(_VALUES) :]
            return self._values(name)
        return decode_column(name, json.loads(self._line()))

    def _list(self, name: str, end: bytes) -> Sequence[Any]:
        """What is behind the bracket of a list, up to the end of the line, which is `end`."""
        builder = ColumnBuilder(repeats=False)
        between = self._between()
        while b"\n" not in self._rest:
            found, self._rest = _cut(self._rest, between)
            builder.extend(_decode_values(name, found))
            self._more()
        line = self._line()
        if not line.endswith(end):
            raise ValueError(f"{line[-64:]!r} ends a column")
        builder.extend(_decode_values(name, json.loads(b"[" + line.removesuffix(end) + b"]")))
        return builder.built()

    def _digests(self) -> Digests:
        column = Digests()
        while b"\n" not in self._rest:
            whole = len(self._rest) // DIGEST_WIDTH * DIGEST_WIDTH
            column.extend_joined(self._rest[:whole])
            self._rest = self._rest[whole:]
            self._more()
        line = self._line()
        if not line.endswith(b'"}'):
            raise ValueError(f"{line[-64:]!r} ends a column")
        column.extend_joined(line.removesuffix(b'"}'))
        return column

    def _values(self, name: str) -> Sequence[Any]:
        """What is behind {"values": [ up to the end of the line."""
        builder, between = ColumnBuilder(repeats=False), self._between()
        while _THEN_ROWS not in (line := self._rest.partition(b"\n")[0]):
            if len(line) < len(self._rest):
                last, _, count = self._line().rpartition(_THEN_COUNT)
                builder.extend(_decode_values(name, json.loads(b"[" + last + b"]")))
                return Cycle(builder.built(), json.loads(count.removesuffix(b"}")))
            found, self._rest = _cut(self._rest, between)
            builder.extend(_decode_values(name, found))
            self._more()
        last, _, self._rest = self._rest.partition(_THEN_ROWS)
        builder.extend(_decode_values(name, json.loads(b"[" + last + b"]")))
        values = builder.built()
        return Numbered(values if len(values) > _MOST_LISTED else list(values), self._list("rows", b"]}"))

    def _between(self) -> bytes:
        """What stands between items that are as the next one, with the end of the first."""
        return b'", "' if self._rest.startswith(b'"') else b"], [" if self._rest.startswith(b"[") else b", "


def _cut(text: bytes, between: bytes) -> tuple[list[Any], bytes]:
    """The whole ones of the items in `text`, and the text of the others. Where `between` stands in a text, what comes
    before is no JSON."""
    at = len(text)
    while (at := text.rfind(between, 0, at + len(between) - 1)) > 0:
        end = at + len(between) // 3  # behind the quote or the bracket
        try:
            return json.loads(b"[" + text[:end] + b"]"), text[end + len(b", ") :]
        except ValueError:
            continue
    return [], text


def _repeats(column: Sequence[Any], period: int) -> bool:
    return all(map(eq, islice(column, period, None), column))


def _numbered(column: Sequence[Any]) -> dict[Any, int] | None:
    """The different values with their numbers; None where they are more than half of all."""
    if len(column) > _FEW:
        hashes = np.fromiter(map(hash, column), np.int64, len(column))
        if len(np.unique(hashes)) * 2 > len(column):  # a million texts in a dict take a hundred megabytes
            return None
    numbers = {value: number for number, value in enumerate(dict.fromkeys(column))}
    return numbers if len(numbers) * 2 <= len(column) else None


def _listed(values: Iterable[Any]) -> Iterator[str]:
    waiting, between = iter(values), ""
    while some := list(islice(waiting, _ROWS)):
        yield between + _dumps(some)[1:-1]
        between = ", "


def _decode_values(name: str, stored: list[Any]) -> list[Any]:
    if name == "origin":
        return [MaskOrigin(value) for value in stored]
    if stored and isinstance(stored[0], str | int | float):
        return stored
    return [tuple(value) if isinstance(value, list) else value for value in stored]
