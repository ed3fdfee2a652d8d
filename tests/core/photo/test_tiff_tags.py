"""Directories of TIFF files and EXIF blocks: read as far as they go, in both byte orders and both widths."""

import io
import struct

import pytest
from maskloss.core.photo.tiff_tags import (
    ORIENTATION,
    content_of,
    count_pages,
    orientation_in_exif,
    read_directory,
    read_layout,
    whole_number,
)

from .pictures import exif

LONG, SHORT, BYTE, RATIONAL = 4, 3, 1, 5


def tiff(order: str, big: bool, *directories: list[tuple[int, int, int, bytes]], behind: bytes = b"") -> bytes:
    """Directories one after the other, entries as (tag, type, count, value); `behind` follows them."""
    field, count, width = ("Q", "Q", 8) if big else ("I", "H", 4)
    header = 16 if big else 8
    start = (b"II" if order == "<" else b"MM") + (
        struct.pack(order + "HHHQ", 43, 8, 0, header) if big else struct.pack(order + "HI", 42, header)
    )
    content, place = start, header
    for number, entries in enumerate(directories):
        place += struct.calcsize(order + count) + len(entries) * (4 + 2 * width) + width
        content += struct.pack(order + count, len(entries))
        for tag, kind, values, value in entries:
            content += struct.pack(order + "HH" + field, tag, kind, values) + value.ljust(width, b"\0")
        content += struct.pack(order + field, 0 if number + 1 == len(directories) else place)
    return content + behind


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_entries_and_the_next_directory_are_found(order: str, big: bool) -> None:
    first = [(256, LONG, 1, struct.pack(order + "I", 640)), (274, SHORT, 1, struct.pack(order + "H", 6))]
    stream = io.BytesIO(tiff(order, big, first, [(256, LONG, 1, struct.pack(order + "I", 32))]))
    layout = read_layout(stream)
    assert layout is not None
    assert (layout.order, layout.big) == (order, big)
    entries, place = read_directory(stream, layout, layout.first)
    assert [(entry.tag, whole_number(layout, entry)) for entry in entries] == [(256, 640), (274, 6)]
    (second,), end = read_directory(stream, layout, place)
    assert (whole_number(layout, second), end) == (32, 0)
    assert count_pages(stream, layout) == 2


def test_values_lie_in_the_entry_or_elsewhere() -> None:
    place = 8 + 2 + 2 * 12 + 4
    entries = [(700, BYTE, 3, b"abc"), (700, BYTE, 6, struct.pack("<I", place))]
    stream = io.BytesIO(tiff("<", False, entries, behind=b"sixsix"))
    layout = read_layout(stream)
    assert layout is not None
    short, long = read_directory(stream, layout, layout.first)[0]
    assert content_of(stream, layout, short, 10) == b"abc"
    assert content_of(stream, layout, long, 10) == b"sixsix"
    assert content_of(stream, layout, long, 5) == b"", "more than is wanted"


def test_numbers_are_of_whole_types_and_fit_their_entry() -> None:
    entries = [(1, RATIONAL, 1, b""), (2, SHORT, 0, b""), (3, 9, 1, struct.pack("<i", -2)), (4, 99, 1, b"x")]
    stream = io.BytesIO(tiff("<", False, entries))
    layout = read_layout(stream)
    assert layout is not None
    found = [whole_number(layout, entry) for entry in read_directory(stream, layout, layout.first)[0]]
    assert found == [None, None, -2, None]


@pytest.mark.parametrize("content", [b"", b"II", b"XX*\0\x08\0\0\0", b"\0" * 16])
def test_what_is_no_tiff_has_no_layout(content: bytes) -> None:
    assert read_layout(io.BytesIO(content)) is None
    assert orientation_in_exif(content) is None


def test_a_directory_that_is_cut_off_gives_what_is_there() -> None:
    content = tiff("<", False, [(1, SHORT, 1, b"\1"), (2, SHORT, 1, b"\2")])
    stream = io.BytesIO(content[:-10])
    layout = read_layout(stream)
    assert layout is not None
    entries, following = read_directory(stream, layout, layout.first)
    assert ([entry.tag for entry in entries], following) == ([1], 0)
    assert read_directory(stream, layout, 10_000) == ([], 0)


def test_previews_and_masks_are_no_pages_and_a_loop_of_directories_ends() -> None:
    kinds = [[(254, LONG, 1, bytes([kind]))] for kind in (0, 1, 4, 2)]
    stream = io.BytesIO(tiff("<", False, *kinds))
    layout = read_layout(stream)
    assert layout is not None
    assert count_pages(stream, layout) == 2
    looped = bytearray(tiff("<", False, [(256, LONG, 1, b"\1")]))
    looped[-4:] = struct.pack("<I", 8)
    layout = read_layout(io.BytesIO(looped))
    assert layout is not None
    assert count_pages(io.BytesIO(looped), layout) == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("value", "found"), [(1, 1), (8, 8), (0, None), (9, None)])
def test_an_orientation_is_from_1_to_8(order: str, value: int, found: int | None) -> None:
    block = exif((ORIENTATION, SHORT, 1, struct.pack(order + "HH", value, 0)), order=order)
    assert orientation_in_exif(block) == found
    assert orientation_in_exif(b"Exif\0\0" + block.removeprefix(b"Exif\0\0")) == found
