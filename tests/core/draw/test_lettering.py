from __future__ import annotations

import numpy as np
from maskloss.core.draw.lettering import label_size, letter_size, luminance, shorten, text_size, with_legend


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


def test_a_legend_takes_at_most_two_fifths() -> None:
    white_HWC = np.full((100, 300, 3), 255, np.uint8)
    picture_HWC = with_legend(white_HWC, [((9, 9, 9), f"class number {i}") for i in range(60)])
    np.testing.assert_array_equal(picture_HWC[:60], white_HWC[:60])
    assert not np.array_equal(picture_HWC, white_HWC)
    np.testing.assert_array_equal(with_legend(white_HWC, []), white_HWC)
