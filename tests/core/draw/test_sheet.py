from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.draw.sheet import BAR_COLOUR, BAR_PX, GAP_PX, add_bars_below, contact_sheet, shrink
from maskloss.core.errors import SettingError

RED = np.zeros((50, 100, 3), np.uint8)
RED[...] = (200, 0, 0)
BLUE = np.zeros((100, 100, 3), np.uint8)
BLUE[...] = (0, 0, 200)


def test_pictures_lie_in_rows_whole_and_centred() -> None:
    sheet_HWC = contact_sheet([(RED, "a"), (BLUE, "b"), (BLUE, "c")], columns=2, cell_px=100)
    assert sheet_HWC.dtype == np.uint8
    assert sheet_HWC.shape[1] == 2 * 100 + 3 * GAP_PX
    assert int((sheet_HWC == (200, 0, 0)).all(-1).sum()) == 5000
    assert int((sheet_HWC == (0, 0, 200)).all(-1).sum()) == 20000
    rows = np.nonzero((sheet_HWC == (200, 0, 0)).all(-1).any(1))[0]
    assert (rows[0], rows[-1]) == (GAP_PX + 25, GAP_PX + 74)


def test_captions_are_drawn_below_their_picture_and_cut_to_the_cell() -> None:
    plain = contact_sheet([(RED, ""), (RED, "")], 2, 100)
    named = contact_sheet([(RED, "photographs/a_very_long_name_of_a_file_0001.jpg"), (RED, "")], 2, 100)
    assert plain.shape == named.shape
    _, xs = np.nonzero((plain != named).any(-1))
    assert len(xs) > 50
    assert xs.max() < GAP_PX + 100


def test_more_lines_make_a_taller_sheet() -> None:
    assert contact_sheet([(RED, "a\nb")], 1, 100).shape[0] > contact_sheet([(RED, "a")], 1, 100).shape[0]


def test_fewer_pictures_than_columns_make_a_narrow_sheet() -> None:
    assert contact_sheet([(RED, "a")], 4, 100).shape[1] == 100 + 2 * GAP_PX


@pytest.mark.parametrize("width", [900, 240])
def test_bars_are_as_long_as_their_counts_and_cover_nothing(width: int) -> None:
    sheet_HWC = np.zeros((50, width, 3), np.uint8)
    counts = {"512x512": 40, "448x576": 20, "640x384": 1}
    with_bars = add_bars_below(sheet_HWC, counts)
    assert with_bars.shape[1] == width
    assert (with_bars[:50] == sheet_HWC).all()
    drawn = (with_bars[50:] == BAR_COLOUR).all(-1)
    # One after the other, or one below the other where the sheet is narrow.
    row = drawn[drawn.any(1).argmax()]
    starts = np.flatnonzero(np.diff(np.r_[0, row]) == 1)
    lengths = np.flatnonzero(np.diff(np.r_[row, 0]) == -1) - starts + 1
    assert lengths.tolist() == ([BAR_PX, BAR_PX // 2, BAR_PX // 40] if width == 900 else [lengths[0]])
    if width == 240:
        tallies = [int(part.sum(1).max()) for part in np.split(drawn, np.flatnonzero(~drawn.any(1))) if part.any()]
        assert tallies[0] == lengths[0]
        assert tallies[1:] == [pytest.approx(tallies[0] / 2, abs=1), pytest.approx(tallies[0] / 40, abs=1)]


def test_nothing_to_show_and_impossible_layouts_are_refused() -> None:
    with pytest.raises(SettingError, match="There is no picture to show"):
        contact_sheet([], 4, 100)
    with pytest.raises(SettingError, match="got 0 and 100"):
        contact_sheet([(RED, "a")], 0, 100)
    with pytest.raises(SettingError, match="got 2 and 31"):
        contact_sheet([(RED, "a")], 2, 31)


def test_shrink_keeps_the_aspect_and_enlarges_only_when_asked() -> None:
    assert shrink(RED, 50).shape == (25, 50, 3)
    assert shrink(RED, 200) is RED
    assert shrink(RED, 200, enlarge=True).shape == (100, 200, 3)
    assert shrink(np.zeros((2, 1000, 3), np.uint8), 10).shape == (1, 10, 3)
