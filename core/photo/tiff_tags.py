"""Reads the directories of TIFF files and EXIF blocks as far as possible; nothing in them is an error.

An entry is tag, type, number of values, and the values or where they lie (TIFF 6.0, 1992; BigTIFF alike, with wider
fields).
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

ORIENTATION = 0x0112
# Bytes of a whole number by its type: BYTE, SHORT, LONG, and the signed ones.
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 16: "Q"}
_MOST_DIRECTORIES = 10_000


@dataclass(frozen=True)
class Layout:
    """How a file's numbers are written: `order` is struct's sign, `big` BigTIFF; `first` is where its first directory
    lies."""

    order: str
    big: bool
    first: int

    @property
    def field(self) -> str:
        """struct's sign of an offset."""
        return "Q" if self.big else "I"


@dataclass(frozen=True)
class Entry:
    """One entry: `value` holds the values where they fit, else their place; `raw` is all of it as it is stored."""

    tag: int
    kind: int
    count: int
    value: bytes
    raw: bytes


def read_layout(stream: BinaryIO) -> Layout | None:
    """The header of a TIFF file or EXIF block; None where it is none."""
    stream.seek(0)
    head = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        return None
    version = struct.unpack_from(order + "H", head, 2)[0]
    if version == 43 and len(head) == 16:
        return Layout(order, True, struct.unpack_from(order + "Q", head, 8)[0])
    return Layout(order, False, struct.unpack_from(order + "I", head, 4)[0])


def read_directory(stream: BinaryIO, layout: Layout, place: int) -> tuple[list[Entry], int]:
    """The entries of the directory at `place`, as many as are there, and the place of the next (0: none)."""
    count_format, size, field = ("Q", 20, 8) if layout.big else ("H", 12, 4)
    width = struct.calcsize(count_format)
    head = _read_at(stream, place, width)
    if len(head) < width:
        return [], 0
    count = struct.unpack(layout.order + count_format, head)[0]
    content = stream.read(min(count, 0xFFFF) * size + field)
    entries: list[Entry] = []
    for at in range(0, min(count * size, len(content) - size + 1), size):
        raw = content[at : at + size]
        tag, kind, number = struct.unpack_from(layout.order + "HH" + layout.field, raw)
        entries.append(Entry(tag, kind, number, raw[size - field :], raw))
    rest = content[count * size : count * size + field]
    return entries, struct.unpack(layout.order + layout.field, rest)[0] if len(rest) == field else 0


def whole_number(layout: Layout, entry: Entry) -> int | None:
    """The first value of an entry, where it is a whole number."""
    kind = _WHOLE_NUMBERS.get(entry.kind)
    if kind is None or entry.count < 1 or struct.calcsize(kind) > len(entry.value):
        return None
    return struct.unpack_from(layout.order + kind, entry.value)[0]


def content_of(stream: BinaryIO, layout: Layout, entry: Entry, most: int) -> bytes:
    """The values of an entry of bytes, as many as are there; none where it says more than `most`."""
    if entry.count > most:
        return b""
    if entry.count <= len(entry.value):
        return entry.value[: entry.count]
    return _read_at(stream, struct.unpack(layout.order + layout.field, entry.value)[0], entry.count)


def _read_at(stream: BinaryIO, place: int, count: int) -> bytes:
    if place >= stream.seek(0, io.SEEK_END):  # places may be larger than any file's
        return b""
    stream.seek(place)
    return stream.read(count)


def orientation_in_exif(block: bytes) -> int | None:
    """The orientation, 1 to 8, that an EXIF block says; None where it says none that can be read."""
    stream = io.BytesIO(block.removeprefix(b"Exif\0\0"))
    layout = read_layout(stream)
    if layout is None:
        return None
    for entry in read_directory(stream, layout, layout.first)[0]:
        if entry.tag == ORIENTATION:
            value = whole_number(layout, entry)
            return value if value in range(1, 9) else None
    return None


def count_pages(stream: BinaryIO, layout: Layout) -> int:
    """How many pictures a TIFF file holds, without previews and masks of others."""
    places: set[int] = set()
    place, pages = layout.first, 0
    while place and place not in places and len(places) < _MOST_DIRECTORIES:
        places.add(place)
        entries, place = read_directory(stream, layout, place)
        kinds = [whole_number(layout, entry) or 0 for entry in entries if entry.tag == 254]
        pages += bool(entries) and not (kinds[0] if kinds else 0) & 0b101
    return pages
