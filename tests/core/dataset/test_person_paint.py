"""What was painted over one person's item changes that person's weights where it was painted, and nobody else's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.override import Correction, write_correction
from maskloss.core.dataset.items import DatasetItem, LoadSettings, PersonByHand
from maskloss.core.dataset.person_paint import PersonPaint
from maskloss.core.errors import ImageError

from tests.moving_clip import SIZE, frames

Draw = Callable[..., Path]


def corner(size: tuple[int, int], value: int) -> Correction:
    """Its upper left quarter."""
    painted_HW = np.zeros(size[::-1], np.bool_)
    painted_HW[: size[1] // 2, : size[0] // 2] = True
    return Correction(np.full(size[::-1], value, np.uint8), painted_HW)


def test_of_a_photograph(photograph: Draw, tmp_path: Path) -> None:
    write_correction(tmp_path / "anna.png", corner((40, 30), 51))
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings())
    item = replace(item, people_by_hand=(PersonByHand("anna", tmp_path / "anna.png"), PersonByHand("berta")))
    ones_HW = np.ones((30, 40), np.float32)
    painted_HW = PersonPaint(item, "anna").apply(ones_HW)
    assert np.unique(painted_HW[:15, :20]).tolist() == [np.float32(51 / 255)]
    assert (painted_HW[15:] == 1).all()
    assert (ones_HW == 1).all()
    for name in ("berta", "carla"):
        assert PersonPaint(item, name).apply(ones_HW) is ones_HW
    with pytest.raises(ImageError, match="40x30 and the mask under it 41x30"):
        PersonPaint(item, "anna").apply(np.ones((30, 41), np.float32))


def test_of_a_video_from_the_painted_frame_on(make_video: Draw, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", frames(4), codec="ffv1", pix_fmt="yuv444p")
    write_correction(tmp_path / "anna.frames/000002.png", corner(SIZE, 0))
    item = DatasetItem("a", video, LoadSettings(), people_by_hand=(PersonByHand("anna", tmp_path / "anna.frames"),))
    paint, ones_HW = PersonPaint(item, "anna"), np.ones(SIZE[::-1], np.float32)
    assert paint.apply(ones_HW, 1) is ones_HW
    assert not paint.apply(ones_HW, 2)[: SIZE[1] // 2, : SIZE[0] // 2].any()
