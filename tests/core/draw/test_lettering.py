from __future__ import annotations

import numpy as np
from maskloss.core.draw.lettering import (
    add_legend,
    add_legend_below,
    label_size,
    letter_size,
    luminance,
    shorten,
    text_size,
)


def test_letters_grow_with_the_picture_and_stay_readable() -> None:
    assert letter_size((64, 64)) == 11
    assert letter_size((2400, 2400)) == 100


def test_shortened_text_fits_and_keeps_both_ends() -> None:
    text = "photographs/2019/group_0001.jpg"
    assert shorten(text, 12, 1000) == text
    cut = shorten(text, 12, 100)
    assert text_size(cut, 12)[0] <= 100
    assert cut.startswith("phot")
    assert cut.endswith(".jpg")
    assert "…" in cut
    assert shorten(text, 12, 1) == "…"


def test_a_label_is_larger_than_its_text() -> None:
    assert label_size("0: 0.51", 20) > text_size("0: 0.51", 20)
    assert luminance((255, 255, 255)) > 254 > 1 > luminance((0, 0, 0))


def test_a_remark_has_no_swatch_and_a_legend_below_covers_nothing() -> None:
    white_HWC = np.full((100, 300, 3), 255, np.uint8)
    coloured = add_legend(white_HWC, [((200, 0, 0), "face"), ((0, 0, 200), "said")])
    remarked = add_legend(white_HWC, [((200, 0, 0), "face"), (None, "said")])
    assert (coloured == (0, 0, 200)).all(-1).sum() > 20
    assert not (remarked == (0, 0, 200)).all(-1).any()
    below = add_legend_below(white_HWC, [((200, 0, 0), "face"), (None, "a remark")] * 4, 12)
    np.testing.assert_array_equal(below[:100], white_HWC)
    assert below.shape[0] > 100 + 2 * 12, "what does not fit into one row goes into the next"
    assert (below[100:] == (200, 0, 0)).all(-1).sum() > 4 * 60


def test_a_legend_takes_at_most_two_fifths() -> None:
    white_HWC = np.full((100, 300, 3), 255, np.uint8)
    picture_HWC = add_legend(white_HWC, [((9, 9, 9), f"class number {i}") for i in range(60)])
    np.testing.assert_array_equal(picture_HWC[:60], white_HWC[:60])
    assert not np.array_equal(picture_HWC, white_HWC)
    np.testing.assert_array_equal(add_legend(white_HWC, []), white_HWC)
