"""A stroke on a file: over what it starts, and whether a file without paint stays."""

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.override import NO_REVISION, Correction, PaintedOver, read_correction
from maskloss.core.corrections.strokes import Patch, StaleRevisionError, check_inside, check_revision, paint_file
from maskloss.core.errors import ImageError

OVER = PaintedOver("photograph", "base")
SIZE = (6, 4)
CARRIED = Correction(np.full((4, 6), 128, np.uint8), np.eye(4, 6) > 0)


def patch(value: int, painted: bool = True) -> Patch:
    return Patch(0, 0, np.full((1, 6), value, np.uint8), np.full((1, 6), painted))


def test_the_first_stroke_lies_over_what_was_carried_and_later_ones_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "000003.png"
    first = paint_file(path, SIZE, patch(255), OVER, NO_REVISION, CARRIED)
    read = read_correction(path)
    assert read.painted_HW.sum(axis=1).tolist() == [6, 1, 1, 1]
    assert (read.values_HW[0].tolist(), read.values_HW[1, 1]) == ([255] * 6, 128)
    second = paint_file(path, SIZE, patch(0, painted=False), OVER, first, CARRIED)
    assert read_correction(path).painted_HW.sum(axis=1).tolist() == [0, 1, 1, 1]
    assert check_revision(path, second) == second
    with pytest.raises(StaleRevisionError):
        paint_file(path, SIZE, patch(255), OVER, first)


def test_without_paint_a_file_stays_only_where_that_says_something(tmp_path: Path) -> None:
    path = tmp_path / "000003.png"
    first = paint_file(path, SIZE, patch(255), OVER, NO_REVISION)
    kept = paint_file(path, SIZE, patch(0, painted=False), OVER, first, keep_empty=True)
    assert kept != NO_REVISION
    assert not read_correction(path).painted_HW.any()
    assert paint_file(path, SIZE, patch(0, painted=False), OVER, kept) == NO_REVISION
    assert not path.exists()


def test_a_stroke_lies_inside() -> None:
    check_inside(None, SIZE)
    check_inside(Patch(3, 2, np.zeros((2, 3), np.uint8), np.zeros((2, 3), bool)), SIZE)
    with pytest.raises(ImageError, match="does not lie inside 6x4"):
        check_inside(Patch(4, 2, np.zeros((2, 3), np.uint8), np.zeros((2, 3), bool)), SIZE)
