"""The entries of an index as columns: 100,000 are read in a fraction of a second, each is built on access.

Not sqlite3, because a JSON file that is replaced whole needs no locks, which network drives may lack, and caches that
exist keep their format. Measured with 100,000 entries: this writes in 2.4 s, opens in 0.31 s and takes 48 MB; sqlite3
writes in 1.9 s, lists the files in 0.06 s, reads all rows in 0.53 s and takes 70 MB.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from itertools import accumulate, islice
from operator import eq, le
from pathlib import Path
from typing import Any, overload

from .column_json import decode_column, encode_column
from .entries import CacheEntry, Source
from .index_kinds import ENTRY_KINDS, SOURCE_KINDS
from .packed_columns import ColumnBuilder, Cycle, Digests, Numbered, Texts

_PACKED = (Cycle, Numbered, Texts, Digests, array)
_ROWS = 8192
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
        """The columns of `entries`, which are let go as they come."""
        columns = {field.name: _Growing() for field in fields(CacheEntry)}
        sources = {name: _Growing() for name in ("role", "folder", "file", "size", "mtime_ns", "sha256")}
        for number, entry in enumerate(entries, 1):
            if number % _ROWS == 0:
                for column in (*columns.values(), *sources.values()):
                    column.flush()
            for name, column in columns.items():
                if name not in ("file", "sources"):
                    column.add(getattr(entry, name))
            columns["file"].add(_strip_name(entry.name, entry.file))
            columns["sources"].add(len(entry.sources))
            last = _base_name(entry.name)
            for source in entry.sources:
                row = (
                    source.role, str(source.path.parent), _strip_name(last, source.path.name),
                    source.size, source.mtime_ns, source.sha256,
                )  # fmt: skip
                for column, value in zip(sources.values(), row, strict=True):
                    column.add(value)
        built = {name: column.built() for name, column in columns.items()}
        for name in ("crop", "regularisation", "subject", "references"):
            if not any(built[name]):
                del built[name]  # as it was before there were such, so that an older version opens the index too
        return cls(built, {name: column.built() for name, column in sources.items()})

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

    def json_pieces(self) -> Iterator[str]:
        """{"entries": columns, "sources": columns}, one column a line, without the outer braces."""
        before = ""
        for table, columns in (("entries", self._columns), ("sources", self._sources)):
            yield f'{before}"{table}": {{'
            between = "\n"
            for name, column in columns.items():
                yield f'{between}"{name}": '
                yield from encode_column(column)
                between = ",\n"
            yield "\n}"
            before = ",\n"

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> EntryTable:
        """The counterpart of `json_pieces`, of the parsed object, in which columns may be decoded already. ValueError,
        LookupError, TypeError or OverflowError where it is none."""
        columns, sources = (
            {
                str(name): column if isinstance(column, _PACKED) else decode_column(name, column)
                for name, column in stored[table].items()
            }
            for table in ("entries", "sources")
        )
        unknown = set(columns) - {field.name for field in fields(CacheEntry)}
        if unknown:
            raise ValueError(f"it holds the unknown columns {sorted(unknown)}")
        for table, kinds in ((columns, ENTRY_KINDS), (sources, SOURCE_KINDS)):
            for name, kind in kinds.items():
                if not kind(_all_kinds(table.get(name, ()))):
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
        of = self._sources
        names, rows = list(self._columns), zip(*self._columns.values(), strict=True)
        sources = zip(of["role"], of["folder"], of["file"], of["size"], of["mtime_ns"], of["sha256"], strict=True)
        for values in rows:
            stored = dict(zip(names, values, strict=True))
            name: str = stored["name"]
            last = _base_name(name)
            stored["file"] = _join_name(name, stored["file"])
            stored["sources"] = tuple(
                Source(role, Path(folder, _join_name(last, after)), size, mtime_ns, sha256)
                for role, folder, after, size, mtime_ns, sha256 in islice(sources, stored["sources"])
            )
            yield CacheEntry(**stored)

    def by_name(self) -> Iterator[CacheEntry]:
        """The entries in the order of their names, as in a table that is sorted they are."""
        names = self._names
        if all(map(le, names, islice(names, 1, None))):
            return iter(self)
        return map(self._entry, sorted(range(len(self)), key=names.__getitem__))

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


class _Growing:
    """A column to which one value comes after the other."""

    def __init__(self) -> None:
        self._builder = ColumnBuilder(repeats=True)
        self._waiting: list[Any] = []
        self.add = self._waiting.append

    def flush(self) -> None:
        """Pack what waits."""
        self._builder.extend(self._waiting)
        self._waiting.clear()

    def built(self) -> Sequence[Any]:
        """The column."""
        self.flush()
        return self._builder.built()


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


def _all_kinds(column: Sequence[Any]) -> Sequence[Any]:
    """Values of every kind that is in a column: those that repeat once, and one for all where all are alike."""
    if isinstance(column, Cycle | Numbered):
        return _all_kinds(column.values)
    return column[:1] if isinstance(column, Digests | Texts) else column
