"""Rectangles in pixels: written and read, cut out of arrays, and one for each clip."""

from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.dataset.crop import Crop, CropKind, Rectangle
from maskloss.core.errors import ImageError, InternalError
from maskloss.core.video.clips import Clip

FACE, HAIR = Rectangle(180, 80, 40, 50), Rectangle(170, 60, 60, 30)


def test_a_rectangle_is_written_and_read() -> None:
    assert Rectangle.parse(str(FACE)) == FACE
    for text in ("", "1,2,3", "1,2,0x3", "-1,2,3x4"):
        assert Rectangle.parse(text) is None
    with pytest.raises(InternalError):
        Rectangle(0, 0, 0, 1)
    with pytest.raises(ImageError, match=r"40x50 px at 180,80, but its picture has only 200x200: it changed since"):
        FACE.check_inside("anna~face", (200, 200))


def test_a_clip_has_its_own_rectangle() -> None:
    crop = Crop(CropKind.FACE, by_clip=(((0, 5), FACE), ((5, 5), HAIR)))
    assert crop.of(Clip(5, (5, 6, 7, 8, 9))) == HAIR
    assert crop.of(Clip(10, (10, 11, 12, 13, 14))) is None
    assert crop.of(None) is None
    assert crop.is_cut
    assert not Crop(CropKind.FACE).is_cut


def test_what_is_cut_out_is_an_array_of_its_own() -> None:
    picture_HWC = np.arange(6 * 8 * 3).reshape(6, 8, 3)
    cut_HWC = Rectangle(2, 1, 5, 3).cut(picture_HWC)
    np.testing.assert_array_equal(cut_HWC, picture_HWC[1:4, 2:7])
    cut_HWC[:] = 0
    assert picture_HWC[1:4, 2:7].all()


def test_two_joined_are_held_whole_and_no_more() -> None:
    assert Rectangle(2, 1, 5, 3).union(Rectangle(4, 0, 6, 2)) == Rectangle(2, 0, 8, 4)
    assert Rectangle(2, 1, 5, 3).union(Rectangle(3, 2, 1, 1)) == Rectangle(2, 1, 5, 3)


def test_a_picture_that_became_smaller_is_named_with_the_way_out() -> None:
    Rectangle(2, 1, 5, 3).check_inside("anna~face", (7, 4))
    for size in ((6, 4), (7, 3)):
        with pytest.raises(ImageError, match=rf"anna~face is 5x3 px at 2,1, .*only {size[0]}x{size[1]}.*Run Crops"):
            Rectangle(2, 1, 5, 3).check_inside("anna~face", size)
