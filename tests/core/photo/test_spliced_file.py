"""A spliced file reads like the bytes it stands for, in any pieces and at any place."""

import io

from hypothesis import given
from hypothesis import strategies as st
from maskloss.core.photo.spliced_file import Piece, SplicedFile

CONTENT = bytes(range(200))
PIECES = st.lists(st.binary(max_size=9) | st.tuples(st.integers(0, 150), st.integers(0, 50)), max_size=6)


def joined(pieces: list[Piece]) -> bytes:
    return b"".join(piece if isinstance(piece, bytes) else CONTENT[piece[0] : piece[0] + piece[1]] for piece in pieces)


@given(PIECES, st.integers(0, 60), st.integers(1, 40))
def test_it_reads_as_its_pieces_in_a_row(pieces: list[Piece], place: int, count: int) -> None:
    whole = joined(pieces)
    file = io.BufferedReader(SplicedFile(io.BytesIO(CONTENT), pieces), 16)
    assert file.read() == whole
    file.seek(place)
    assert file.read(count) == whole[place : place + count]
    assert file.seek(0, io.SEEK_END) == len(whole)
    assert file.read(1) == b""


def test_seeking_counts_from_start_place_and_end() -> None:
    file = SplicedFile(io.BytesIO(CONTENT), [b"ab", (10, 3), b"z"])
    assert file.seek(1) == 1
    assert file.seek(2, io.SEEK_CUR) == 3
    assert file.read(1) == bytes([11])
    assert file.seek(-1, io.SEEK_END) == 5
    assert file.read() == b"z"
    assert file.seek(-9) == 0
    assert file.tell() == 0


def test_a_file_that_was_cut_off_ends_early_instead_of_inventing_bytes() -> None:
    file = SplicedFile(io.BytesIO(b"abc"), [(1, 10)])
    assert file.read(10) == b"bc"
    assert file.read(10) == b""
