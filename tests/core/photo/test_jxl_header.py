"""Sizes in JPEG XL headers, written bit by bit as the specification has them."""

import io
import struct

import pytest
from maskloss.core.photo.jxl_header import jxl_size
from PIL import Image

from .pictures import encoded


def codestream(*fields: tuple[int, int]) -> bytes:
    """The signature and (value, bits) one after the other, the lowest bits first."""
    value = place = 0
    for field, bits in fields:
        value |= field << place
        place += bits
    return b"\xff\x0a" + value.to_bytes(20, "little")


def size_of(content: bytes) -> tuple[int, int] | None:
    return jxl_size(io.BytesIO(content))


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        (((1, 1), (7, 5), (0, 3), (4, 5)), (40, 64)),  # small: eighths of both sides
        (((1, 1), (7, 5), (1, 3)), (64, 64)),  # small, square
        (((0, 1), (0, 2), (479, 9), (3, 3)), (640, 480)),  # 4:3
        (((0, 1), (1, 2), (1079, 13), (5, 3)), (1920, 1080)),  # 16:9
        (((0, 1), (2, 2), (99_999, 18), (0, 3), (0, 2), (6, 9)), (7, 100_000)),  # both sides written out
        (((0, 1), (3, 2), (999_999, 30), (7, 3)), (2_000_000, 1_000_000)),  # 2:1
    ],
)
def test_every_way_to_write_a_size(fields: tuple[tuple[int, int], ...], size: tuple[int, int]) -> None:
    assert size_of(codestream(*fields)) == size


def test_the_stream_may_lie_in_a_box_behind_others() -> None:
    bare = codestream((0, 1), (0, 2), (479, 9), (3, 3))
    signature = box(b"JXL ", b"\r\n\x87\n")
    assert size_of(signature + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"jxlc", bare)) == (640, 480)
    assert size_of(signature + box(b"Exif", b"x" * 100) + box(b"jxlp", b"\0\0\0\0" + bare)) == (640, 480)
    wide = struct.pack(">I4sQ", 1, b"xml ", 16 + 50) + b"x" * 50
    assert size_of(signature + wide + box(b"jxlc", bare)) == (640, 480)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
        codestream((0, 1))[:8],
        box(b"JXL ", b"\r\n\x87\n"),
        struct.pack(">I4s", 3, b"ftyp") + b"\0" * 40,
    ],
)
def test_what_cannot_be_read_has_no_size(content: bytes) -> None:
    assert size_of(content) is None


@pytest.mark.parametrize("sides", [(80, 48), (81, 48), (300, 200), (160, 90), (7, 5), (4000, 3)])
def test_the_size_in_a_jpeg_xl_header(sides):
    pytest.importorskip("pillow_jxl")
    stream = io.BytesIO(encoded(Image.new("RGB", sides), "JXL", lossless=True))
    assert jxl_size(stream) == sides
    assert jxl_size(io.BytesIO(b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(64))) is None
