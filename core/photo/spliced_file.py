"""A file-like object made of pieces of another file and of bytes between them."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import BinaryIO

# Bytes that are put in, or (start, length) of the file beneath.
Piece = bytes | tuple[int, int]


class SplicedFile(io.RawIOBase):
    """The pieces one after the other, read from the file beneath on demand."""

    def __init__(self, stream: BinaryIO, pieces: Sequence[Piece]) -> None:
        super().__init__()
        self._stream = stream
        self._pieces = [piece for piece in pieces if _length(piece)]
        self._starts = [0, *accumulate(_length(piece) for piece in self._pieces)]
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._starts[-1]}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        number = bisect_right(self._starts, self._at) - 1
        if number >= len(self._pieces):
            return 0
        piece, skipped = self._pieces[number], self._at - self._starts[number]
        wanted = min(len(buffer), _length(piece) - skipped)
        if isinstance(piece, bytes):
            content = piece[skipped : skipped + wanted]
        else:
            self._stream.seek(piece[0] + skipped)
            content = self._stream.read(wanted)
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


def _length(piece: Piece) -> int:
    return len(piece) if isinstance(piece, bytes) else piece[1]
