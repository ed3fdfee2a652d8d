"""What each meaning makes of a mask file's values, and which values it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.errors import ImageError
from maskloss.core.images import load_mask
from maskloss.core.mask_meaning import MaskMeaning, read_stored
from maskloss.core.mask_readings import StoredMask

from .mask_files import (
    INSIDE,
    OUTSIDE,
    RED,
    WHITE,
    H,
    W,
    Write,
    colour,
    shape,
    with_alpha,
)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, np.nan], "not numbers"),
        ([0, np.inf], "not numbers"),
        ([-1, 1], "from -1 to 1"),
        ([0, 1000], "from 0 to 1000"),
    ],
)
def test_floats_without_a_known_range_are_refused(write_mask: Write, values: list[float], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load_mask(write_mask(np.resize(np.array(values, np.float32), (H, W)), "mask.tif"))


def test_each_meaning_can_be_asked_for(write_mask: Write) -> None:
    rgb_HWC = colour(RED, WHITE)
    rgb_HWC[:8] = 0
    path = write_mask(with_alpha(rgb_HWC, np.full((H, W), 100, np.uint8)))
    at = {meaning: load_mask(path, meaning) for meaning in MaskMeaning if meaning is not MaskMeaning.AUTO}
    assert [int(mask_HW[INSIDE]) for mask_HW in at.values()] == [76, 100, 255, 255]
    assert [int(mask_HW[20, 5]) for mask_HW in at.values()] == [255, 100, 0, 255], "the white"
    assert [int(mask_HW[OUTSIDE]) for mask_HW in at.values()] == [0, 100, 0, 0], "the black"


def test_what_a_meaning_needs_is_asked_for(write_mask: Write) -> None:
    path = write_mask(shape())
    with pytest.raises(ImageError, match=r"mask_meaning is alpha, but .* has no alpha"):
        load_mask(path, MaskMeaning.ALPHA)
    with pytest.raises(ImageError, match=r"mask_meaning is colour, but .* is grey"):
        load_mask(path, MaskMeaning.COLOUR)
    assert not load_mask(write_mask(shape(0), "black.png"), MaskMeaning.COLOUR).any(), "nobody in the picture"


def test_shades_of_one_colour_keep_their_proportions(write_mask: Write) -> None:
    rgb_HWC = colour(RED)
    rgb_HWC[20:30, 30:40] = (51, 0, 0)
    assert load_mask(write_mask(rgb_HWC))[25, 35] == 51


def test_dark_lossy_masks_are_no_labels(write_mask: Write) -> None:
    assert load_mask(write_mask(shape(3), "mask.jpg", quality=95)).max() <= 4
    assert load_mask(write_mask(shape(1), "mask.webp", lossless=True))[INSIDE] == 255
    assert load_mask(write_mask(shape(0), "black.png")).max() == 0
    assert (load_mask(write_mask(np.full((H, W), 20, np.uint8), "flat.png")) == 20).all(), "one weight for everything"


@settings(deadline=None)
@given(values=st.lists(st.integers(0, 255), min_size=2, max_size=64))
def test_plain_grey_masks_are_read_bit_for_bit(values: list[int]) -> None:
    mask_HW = np.array(values, np.uint8)[None]
    if mask_HW.max() >= 32:
        read = read_stored(StoredMask("grey, 8 bits", 8, mask_HW), MaskMeaning.AUTO, "a mask")
        assert np.array_equal(read.mask_HW, mask_HW)
        assert (read.meaning, read.key) == (MaskMeaning.BRIGHTNESS, "")


@settings(deadline=None)
@given(
    hue=st.tuples(*[st.integers(0, 255)] * 3).filter(lambda each: max(each) - min(each) > 64),
    strengths=st.lists(st.integers(0, 255), min_size=1, max_size=40),
)
def test_any_one_colour_on_black_weighs_by_its_strength(hue: tuple[int, int, int], strengths: list[int]) -> None:
    levels = np.array([255, 0, *strengths])
    rgb_HWC = np.rint(levels[None, :, None] / 255 * np.array(hue)).astype(np.uint8)
    read = read_stored(StoredMask("RGB, 8 bits", 8, rgb_HWC), MaskMeaning.AUTO, "a mask")
    assert read.meaning is MaskMeaning.COLOUR
    # Half a level of the darkest and the brightest channel each.
    assert np.abs(read.mask_HW[0].astype(float) - levels).max() <= 1 + 255 / (max(hue) - min(hue))
