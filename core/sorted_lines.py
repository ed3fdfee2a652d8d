"""A JSON file with a line for each name, in order: a name is looked up, and others added, without reading it whole.

    {"step": "BuildMasks", "items": {
    "anna": {…},
    "zoe": {…}
    }}

A name is found by halving the file. The file is opened for that moment only, so that it can be replaced, and what
replaced it counts from then on. Other layouts of the same JSON are read whole.
"""

from __future__ import annotations

import json
import os
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

from .files import atomic_write, refuse_special

_TAIL = b"\n}}\n"
_LONGEST_HEAD = 4096
_END_BYTES = 64
_BLOCK_BYTES = 1 << 15
_CHUNK_BYTES = 1 << 20
_decode = json.JSONDecoder().raw_decode
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


@dataclass(frozen=True)
class _Layout:
    """`key`: which file it is. `head`: what stands before the items. They lie from `first` to `end`, or are `whole`."""

    key: tuple[int, int, int]
    head: Mapping[str, Any]
    first: int = 0
    end: int = 0
    whole: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class _Block:
    """Lines by their names: all those from `lower` to before `upper` (None: that end of the file)."""

    lines: Mapping[str, bytes]
    lower: str | None
    upper: str | None

    def covers(self, name: str) -> bool:
        return (self.lower is None or self.lower <= name) and (self.upper is None or name < self.upper)


class SortedLines:
    """The items of such a file, for any number of threads; none where it is not there.

    Every method raises OSError where the file cannot be read, and ValueError, LookupError, TypeError or RecursionError
    where the place that it reads is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._layout: _Layout | None = None
        self._block: _Block | None = None

    def head(self) -> Mapping[str, Any] | None:
        """What stands before the items; None where there is no file."""
        layout = self._look()
        return None if layout is None else layout.head

    def whole(self) -> Mapping[str, Any] | None:
        """All items of a file in another layout; None of one that has a line for each name."""
        layout = self._look()
        return None if layout is None else layout.whole

    def has_items(self) -> bool:
        """Whether there is any."""
        layout = self._look()
        return layout is not None and (layout.first < layout.end if layout.whole is None else bool(layout.whole))

    def get(self, name: str) -> Any:
        """What stands under `name`; None where nothing does."""
        try:
            key = _key(os.stat(self._path))
        except FileNotFoundError:
            return None
        with self._lock:
            layout, block = self._layout, self._block
        if layout is None or layout.key != key or (layout.whole is None and not (block and block.covers(name))):
            file = self._open()
            if file is None:
                return None
            with file:
                layout = self._layout_of(file)
                if layout.whole is None:
                    low, high, *bounds = _locate(file, layout, name)
                    block = _Block(dict(_read_lines(file, low, high)), *bounds)
            with self._lock:
                if self._layout is layout:
                    self._block = block
        if layout.whole is not None:
            return layout.whole.get(name)
        line = block.lines.get(name) if block else None
        return None if line is None else _value_of(line)

    def forget(self) -> None:
        """Look at the file anew: it was replaced, perhaps too soon for its time of change to tell."""
        with self._lock:
            self._layout, self._block = None, None

    def items(self) -> Iterator[tuple[str, Any]]:
        """Every name and what stands under it, in the order of the names. A file that is replaced meanwhile is gone on
        with behind the last name."""
        last: str | None = None
        while True:
            if (file := self._open()) is None:
                return
            with file:
                layout = self._layout_of(file)
                lines = None if layout.whole is not None else _read_after(file, layout, last)
            if lines is None:
                whole = layout.whole or {}
                yield from ((name, whole[name]) for name in sorted(whole) if last is None or name > last)
                return
            if not lines:
                return
            for name, line in lines:
                yield name, _value_of(line)
            last = lines[-1][0]

    def chunks(self) -> Iterator[bytes]:
        """The lines as they stand, many at a time, for one who keeps the file from being replaced."""
        if (file := self._open()) is None:
            return
        with file:
            layout = self._layout_of(file)
            if layout.whole is not None:
                yield from (encode_line(name, layout.whole[name]) + b"\n" for name in sorted(layout.whole))
                return
            file.seek(layout.first)
            while (left := layout.end - file.tell()) > 0:
                chunk = file.read(min(_CHUNK_BYTES, left))
                yield chunk if chunk.endswith(b"\n") else chunk + file.readline()

    def _look(self) -> _Layout | None:
        if (file := self._open()) is None:
            return None
        with file:
            return self._layout_of(file)

    def _open(self) -> BinaryIO | None:
        try:
            refuse_special(self._path)
            return self._path.open("rb")
        except FileNotFoundError:
            return None

    def _layout_of(self, file: BinaryIO) -> _Layout:
        key = _key(os.fstat(file.fileno()))
        with self._lock:
            if self._layout is None or self._layout.key != key:
                self._layout, self._block = None, None
                self._layout = _read_layout(file, key)
            return self._layout


def encode_line(name: str, value: object) -> bytes:
    """The line of a name, without what ends it. ValueError for numbers that are not finite."""
    line = f"{_encode(name)}: {_encode(value)}"
    try:
        return line.encode()
    except UnicodeEncodeError:  # a file name that is no UTF-8, which JSON can write in ASCII alone
        return f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}".encode()


def write_lines(path: Path, head: Mapping[str, str], old: SortedLines, new: Mapping[str, bytes]) -> None:
    """Write the items of `old` and the lines `new` by their names, which replace those of `old`, whole or not at all.

    `head` is of one key at least. `path` may be that of `old`. DiskError as `atomic_write`; errors of reading as those
    of `SortedLines`.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(_encode({**head, "items": {}}).removesuffix("}}").encode())
        between = b"\n"
        for piece in _merged(old.chunks(), sorted(new), new):
            file.write(between + piece)
            between = b",\n"
        file.write(_TAIL)


def _merged(chunks: Iterable[bytes], names: list[str], new: Mapping[str, bytes]) -> Iterator[bytes]:
    """Pieces of lines, with commas between lines and none at the end."""
    begun, last = 0, None
    for chunk in chunks:
        text = chunk.removesuffix(b"\n").removesuffix(b",")
        first, final = _name_of(text.partition(b"\n")[0]), _name_of(text[text.rfind(b"\n") + 1 :])
        if final < first or (last is not None and first <= last):
            raise ValueError(f"{first!r} is not in its place")
        last = final
        end = bisect_left(names, final, begun)
        end += end < len(names) and names[end] == final
        if end > begun:
            lines = text.split(b",\n")
            place = 0
            for name in names[begun:end]:
                place = bisect_left(lines, name, place, key=_name_of)
                same = place < len(lines) and _name_of(lines[place]) == name
                lines[place : place + same] = [new[name]]
            text = b",\n".join(lines)
        begun = end
        yield text
    yield from (new[name] for name in names[begun:])


def _key(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_layout(file: BinaryIO, key: tuple[int, int, int]) -> _Layout:
    first = file.readline(_LONGEST_HEAD)
    file.seek(max(0, key[1] - _END_BYTES))
    end = file.read()
    head: Any = None
    with suppress(ValueError):
        head = json.loads(first + b"}}") if first.endswith(b"{\n") else None
    if isinstance(head, dict) and head.pop("items", None) == {}:
        if end.endswith(_TAIL):
            return _Layout(key, head, len(first), key[1] - len(_TAIL) + 1)
        if end.rstrip().rpartition(b"\n")[2].strip() != b"}}":
            raise ValueError("it is cut off")
    file.seek(0)
    stored = json.loads(file.read().decode())
    items = stored["items"]
    return _Layout(key, {name: value for name, value in stored.items() if name != "items"}, whole=dict(items.items()))


def _locate(file: BinaryIO, layout: _Layout, name: str) -> tuple[int, int, str | None, str | None]:
    """Where the lines lie of which one is that of `name`, if any is; and the names of the first of them and of the line
    behind them (None: that end of the file)."""
    low, high = layout.first, layout.end
    lower: str | None = None
    upper: str | None = None
    while high - low > _BLOCK_BYTES:
        file.seek((low + high) // 2 - 1)
        file.readline()
        start = file.tell()
        if start >= high:
            break  # a line of more than half of what is left
        found = _name_of(file.readline())
        if (lower is not None and found <= lower) or (upper is not None and found >= upper):
            raise ValueError(f"{found!r} is not in its place")
        if found <= name:
            low, lower = start, found
        else:
            high, upper = start, found
    return low, high, lower, upper


def _read_after(file: BinaryIO, layout: _Layout, last: str | None) -> list[tuple[str, bytes]]:
    """Some lines behind that of the name `last`, with their names; none at the end."""
    low = layout.first if last is None else _locate(file, layout, last)[0]
    while True:
        high = min(low + _CHUNK_BYTES, layout.end)
        if high > low:
            file.seek(high - 1)
            file.readline()
            high = file.tell()
        lines = [(name, line) for name, line in _read_lines(file, low, high) if last is None or name > last]
        if lines or high >= layout.end:
            return lines
        low = high


def _read_lines(file: BinaryIO, low: int, high: int) -> list[tuple[str, bytes]]:
    file.seek(low)
    lines = [(_name_of(line), line) for line in file.read(high - low).removesuffix(b"\n").split(b"\n") if high > low]
    for (name, _), (following, _) in pairwise(lines):
        if following <= name:
            raise ValueError(f"{following!r} is not in its place")
    return lines


def _name_of(line: bytes) -> str:
    end = line.find(b'"', 1)
    if end < 0 or line[:1] != b'"':
        raise ValueError(f"{line[:_END_BYTES]!r} is no name")
    if line.find(b"\\", 1, end) < 0:
        return line[1:end].decode()
    return _decode(line.decode())[0]


def _value_of(line: bytes) -> Any:
    ((_, value),) = json.loads(b"{%b}" % line.strip().removesuffix(b",")).items()
    return value
