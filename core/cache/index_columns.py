"""The entries of an index as columns: 100,000 are read in a fraction of a second, each is built on access.

A column is a plain list; or {"values", "count"} where the values repeat in a cycle, as one shared value does; or
{"values", "rows"} where few repeat; or, for hashes, {"width", "text"} with all of them in one string.

Not sqlite3, because a JSON file that is replaced whole needs no locks, which network drives may lack, and caches that
exist keep their format. Measured with 100,000 entries: this writes in 2.4 s, opens in 0.31 s and takes 48 MB; sqlite3
writes in 1.9 s, lists the files in 0.06 s, reads all rows in 0.53 s and takes 70 MB.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from itertools import accumulate, cycle, islice
from operator import eq
from pathlib import Path
from typing import Any, overload

from ..dataset.items import MaskOrigin
from .entries import CacheEntry, Source
from .index_kinds import ENTRY_KINDS, SOURCE_KINDS

_DIGEST_WIDTH = 64
_LONGEST_PERIOD = 4
# A file is stored as what follows its entry's name, such as ".jpg"; "|" precedes names that do not start with it.
_WHOLE = "|"


class EntryTable(Sequence[CacheEntry]):
    """Entries in order, kept as columns."""

    def __init__(self, columns: Mapping[str, Sequence[Any]], sources: Mapping[str, Sequence[Any]]) -> None:
        """`columns` by the names of CacheEntry's fields, of one length; `sources` by those of Source, with "folder" for
        where the file lies, all entries' one after the other: the column `sources` counts each entry's."""
        self._columns, self._sources = columns, sources
        self._names: Sequence[str] = columns["name"]
        self._ends = array("q", accumulate(columns["sources"]))
        lengths = {len(column) for column in columns.values()}
        own = {len(column) for column in sources.values()}
        if len(lengths) != 1 or own != {self._ends[-1] if self._ends else 0}:
            raise ValueError("its columns are not of one length")

    @classmethod
    def from_entries(cls, entries: Iterable[CacheEntry]) -> EntryTable:
        """The columns of `entries`."""
        columns: dict[str, list[Any]] = {field.name: [] for field in fields(CacheEntry)}
        sources: dict[str, list[Any]] = {name: [] for name in ("role", "folder", "file", "size", "mtime_ns", "sha256")}
        for entry in entries:
            for name, column in columns.items():
                column.append(getattr(entry, name))
            columns["file"][-1] = _strip_name(entry.name, entry.file)
            columns["sources"][-1] = len(entry.sources)
            last = _base_name(entry.name)
            for source in entry.sources:
                row = (
                    source.role, str(source.path.parent), _strip_name(last, source.path.name),
                    source.size, source.mtime_ns, source.sha256,
                )  # fmt: skip
                for column, value in zip(sources.values(), row, strict=True):
                    column.append(value)
        for name in ("crop", "regularisation", "subject", "references"):
            if not any(columns[name]):
                del columns[name]  # as it was before there were such, so that an older version opens the index too
        return cls(columns, sources)

    def files(self) -> Iterator[tuple[str, int]]:
        """Each entry's file and how many bytes it has, without making the entry."""
        rows = zip(self._names, self._columns["file"], self._columns["file_bytes"], strict=True)
        return ((after[1:] if after[:1] == _WHOLE else name + after, size) for name, after, size in rows)

    def sources(self) -> Iterator[tuple[str, int, str, int, int]]:
        """Of every source: its entry's name, its number for `source`, its path as text, its size and time of change."""
        of = self._sources
        rows = zip(of["folder"], of["file"], of["size"], of["mtime_ns"], strict=True)
        number = 0
        for name, count in zip(self._names, self._columns["sources"], strict=True):
            last = _base_name(name)
            for folder, after, size, mtime_ns in islice(rows, count):
                yield name, number, f"{folder}/{_join_name(last, after)}", size, mtime_ns
                number += 1

    def to_json(self) -> str:
        """{"entries": columns, "sources": columns}, one column a line."""
        tables = {"entries": self._columns, "sources": self._sources}
        return ",\n".join(
            f'"{table}": {{\n'
            + ",\n".join(f'"{name}": {_encode_column(column)}' for name, column in columns.items())
            + "\n}"
            for table, columns in tables.items()
        )

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> EntryTable:
        """The counterpart of `to_json`, of the parsed object. ValueError, KeyError or TypeError where it is none."""
        columns, sources = (
            {str(name): _decode_column(name, column) for name, column in stored[table].items()}
            for table in ("entries", "sources")
        )
        unknown = set(columns) - {field.name for field in fields(CacheEntry)}
        if unknown:
            raise ValueError(f"it holds the unknown columns {sorted(unknown)}")
        for table, kinds in ((columns, ENTRY_KINDS), (sources, SOURCE_KINDS)):
            for name, kind in kinds.items():
                column = table.get(name, ())
                # Of digests, which are cut from one text, one stands for all.
                if not kind(column[:1] if isinstance(column, _Digests) else column):
                    raise ValueError(f"its column {name} holds something else than it should")
        missing = [name for name in SOURCE_KINDS if name not in sources]
        missing += [field.name for field in fields(CacheEntry) if field.name not in columns and _is_needed(field)]
        if missing:
            raise ValueError(f"the columns {missing} are missing")
        return cls(columns, sources)

    @overload
    def __getitem__(self, index: int) -> CacheEntry: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[CacheEntry, ...]: ...
    def __getitem__(self, index: int | slice) -> CacheEntry | tuple[CacheEntry, ...]:
        rows = range(len(self))[index]
        return self._entry(rows) if isinstance(rows, int) else tuple(self._entry(row) for row in rows)

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[CacheEntry]:
        return (self._entry(row) for row in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, EntryTable):
            return _are_equal(self._columns, other._columns) and _are_equal(self._sources, other._sources)
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == another for one, another in zip(self, other, strict=True))

    __hash__ = None  # pyright: ignore[reportAssignmentType]

    def source(self, number: int, name: str) -> Source:
        """The source of that number, which belongs to the entry `name`."""
        of = self._sources
        path = Path(of["folder"][number], _join_name(_base_name(name), of["file"][number]))
        return Source(of["role"][number], path, of["size"][number], of["mtime_ns"][number], of["sha256"][number])

    def _entry(self, row: int) -> CacheEntry:
        values: dict[str, Any] = {name: column[row] for name, column in self._columns.items()}
        name: str = values["name"]
        values["file"] = _join_name(name, values["file"])
        end = self._ends[row]
        values["sources"] = tuple(self.source(number, name) for number in range(end - values["sources"], end))
        return CacheEntry(**values)


class _Cycle(Sequence[Any]):
    """A few values over and over."""

    def __init__(self, values: Sequence[Any], count: int) -> None:
        if not values and count:
            raise ValueError(f"a column of {count} has no values")
        self._values, self._rows = tuple(values), range(count)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        rows = self._rows[index]
        values = self._values
        if isinstance(rows, int):
            return values[rows % len(values)]
        return [values[row % len(values)] for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return islice(cycle(self._values), len(self._rows))


class _Digests(Sequence[str]):
    """Many strings of one width, kept as one."""

    def __init__(self, text: str, width: int) -> None:
        if width < 1 or len(text) % width:
            raise ValueError(f"a column of {len(text)} characters is not of width {width}")
        self._text, self._width = text, width

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[row] for row in range(len(self))[index]]
        start = range(len(self))[index] * self._width
        return self._text[start : start + self._width]

    def __len__(self) -> int:
        return len(self._text) // self._width


def _is_needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _strip_name(name: str, file: str) -> str:
    after = file[len(name) :]
    return after if file.startswith(name) and not after.startswith(_WHOLE) else _WHOLE + file


def _join_name(name: str, after: str) -> str:
    return after[len(_WHOLE) :] if after.startswith(_WHOLE) else name + after


def _are_equal(columns: Mapping[str, Sequence[Any]], others: Mapping[str, Sequence[Any]]) -> bool:
    return columns.keys() == others.keys() and all(
        len(column) == len(others[name]) and all(map(eq, column, others[name])) for name, column in columns.items()
    )


def _base_name(name: str) -> str:
    return name[name.rfind("/") + 1 :]


def _encode_column(column: Sequence[Any]) -> str:
    numbers = {value: number for number, value in enumerate(dict.fromkeys(column))}
    plain = values = list(column)
    period = next((k for k in range(1, _LONGEST_PERIOD + 1) if len(values) > k and values[k:] == values[:-k]), 0)
    if period:
        plain = {"values": values[:period], "count": len(values)}
    elif len(numbers) * 2 <= len(column):
        plain = {"values": list(numbers), "rows": [numbers[value] for value in column]}
    elif all(isinstance(value, str) and len(value) == _DIGEST_WIDTH for value in column):
        plain = {"width": _DIGEST_WIDTH, "text": "".join(column)}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


def _decode_column(name: str, stored: Any) -> Sequence[Any]:
    if isinstance(stored, list):
        return _pack_numbers(_decode_values(name, stored))
    if "count" in stored:
        return _Cycle(_decode_values(name, stored["values"]), stored["count"])
    if "width" in stored:
        return _Digests(stored["text"], stored["width"])
    return list(map(_decode_values(name, stored["values"]).__getitem__, stored["rows"]))


def _decode_values(name: str, stored: list[Any]) -> list[Any]:
    if name == "origin":
        return [MaskOrigin(value) for value in stored]
    if stored and (stored[0] is None or isinstance(stored[0], list)):
        return [tuple(value) if isinstance(value, list) else value for value in stored]
    return stored


def _pack_numbers(column: list[Any]) -> Sequence[Any]:
    """A column of whole numbers in an eighth of the memory."""
    try:
        return array("q", column)
    except (TypeError, OverflowError):
        return column
