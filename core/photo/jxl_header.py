"""The size of a JPEG XL picture from its header (ISO/IEC 18181-1, SizeHeader), without decoding it."""

from __future__ import annotations

import struct
from typing import BinaryIO

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIDE_BITS = (9, 13, 18, 30)
_CODESTREAM = b"\xff\x0a"
_MOST_BOXES = 1000


def jxl_size(stream: BinaryIO) -> tuple[int, int] | None:
    """(width, height) as it is stored, before it is turned; None where the header cannot be read."""
    head = _read_codestream(stream)
    if not head.startswith(_CODESTREAM) or len(head) < 12:
        return None
    bits = _Bits(head[2:])
    small = bits.take(1) == 1
    height = _read_side(bits, small)
    ratio = bits.take(3)
    if ratio:
        wide, high = _RATIOS[ratio - 1]
        return height * wide // high, height
    return _read_side(bits, small), height


class _Bits:
    """Bits from the lowest on."""

    def __init__(self, content: bytes) -> None:
        self._value = int.from_bytes(content, "little")

    def take(self, count: int) -> int:
        taken = self._value & ((1 << count) - 1)
        self._value >>= count
        return taken


def _read_side(bits: _Bits, small: bool) -> int:
    return (bits.take(5) + 1) * 8 if small else bits.take(_SIDE_BITS[bits.take(2)]) + 1


def _read_codestream(stream: BinaryIO) -> bytes:
    """The first bytes of the pixels' stream, bare or within a box."""
    stream.seek(0)
    head = stream.read(32)
    place = 0
    for _ in range(_MOST_BOXES):
        if head.startswith(_CODESTREAM):
            break
        stream.seek(place)
        box = stream.read(16)
        if len(box) < 16:
            return b""
        size, kind = struct.unpack_from(">I4s", box)
        start = 16 if size == 1 else 8
        if kind in (b"jxlc", b"jxlp"):
            stream.seek(place + start + (4 if kind == b"jxlp" else 0))
            return stream.read(32)
        size = struct.unpack_from(">Q", box, 8)[0] if size == 1 else size
        if size < start:
            return b""
        place += size
    return head
