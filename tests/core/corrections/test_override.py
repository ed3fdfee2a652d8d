"""The file of a correction: lossless, whole, with what it was painted over."""

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.override import (
    NO_REVISION,
    Correction,
    PaintedOver,
    note_of,
    read_correction,
    revision_of,
    size_of,
    write_correction,
)
from maskloss.core.errors import ImageError
from PIL import Image


def some(over: PaintedOver | None = None) -> Correction:
    random = np.random.default_rng(0)
    return Correction(random.integers(0, 256, (6, 9), dtype=np.uint8), random.random((6, 9)) < 0.5, over)


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    before = some(PaintedOver("photograph", "base", "/photos/änna.jpg"))
    write_correction(tmp_path / "sub/a.png", before)
    after = read_correction(tmp_path / "sub/a.png")
    assert np.array_equal(after.painted_HW, before.painted_HW)
    assert np.array_equal(after.values_HW, np.where(before.painted_HW, before.values_HW, 0))
    assert after.over == before.over == note_of(tmp_path / "sub/a.png")
    assert after.size == size_of(tmp_path / "sub/a.png") == (9, 6)
    assert after.fraction == before.painted_HW.mean()


def test_painted_pixels_take_the_place_of_the_weights_exactly() -> None:
    correction = some()
    weights_HW = np.random.default_rng(1).random((6, 9)).astype(np.float32)
    applied = correction.apply(weights_HW)
    assert applied.dtype == np.float32
    assert np.array_equal(applied[~correction.painted_HW], weights_HW[~correction.painted_HW])
    painted = correction.values_HW[correction.painted_HW].astype(np.float32) / np.float32(255)
    assert np.array_equal(applied[correction.painted_HW], painted)
    with pytest.raises(ImageError, match="a correction is 9x6 and the mask under it 6x9"):
        correction.apply(weights_HW.T)


def test_a_file_of_another_program_has_no_note_and_counts(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([np.full((4, 4), 80, np.uint8), np.eye(4, dtype=np.uint8) * 255])).save(
        tmp_path / "a.png"
    )
    read = read_correction(tmp_path / "a.png")
    assert read.over is None
    assert np.array_equal(read.painted_HW, np.eye(4, dtype=bool))
    assert set(read.values_HW.ravel()) == {80}


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_correction, size_of, note_of):
        with pytest.raises(ImageError, match=r"a\.png cannot be read"):
            read(path)


def test_another_kind_of_picture_is_refused(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="expected a grey PNG with alpha, found PNG L"):
        read_correction(tmp_path / "a.png")


def test_every_change_is_another_revision(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert revision_of(path) == NO_REVISION
    write_correction(path, some())
    first = revision_of(path)
    write_correction(path, some())
    assert revision_of(path) == first != NO_REVISION
    write_correction(path, some(PaintedOver("p")))
    assert revision_of(path) != first
