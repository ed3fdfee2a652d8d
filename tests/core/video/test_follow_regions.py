"""Regions move with what they show, and are lost where that cannot be told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from maskloss.core.video.follow_regions import follow_regions, move, regions_of

from tests.moving_clip import SIZE, frames, pattern, place, square


def block(left: int, top: int, width: int, height: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    block_HW = np.zeros(size[::-1], np.bool_)
    block_HW[top : top + height, left : left + width] = True
    return block_HW


def shared(one_HW: np.ndarray, other_HW: np.ndarray) -> float:
    return np.count_nonzero(one_HW & other_HW) / np.count_nonzero(one_HW | other_HW)


def test_what_moves_takes_its_region_along_and_what_stands_still_keeps_it() -> None:
    clip = frames(25)
    still_HW = block(20, 60, 30, 30)
    found = list(follow_regions([square(0), still_HW], clip))
    assert len(found) == 24
    for number, (moved_23, stayed_23) in enumerate(found, 1):
        assert moved_23 is not None
        assert stayed_23 is not None
        assert shared(move(square(0).astype(np.uint8), moved_23) > 0, square(number)) > 0.9
        assert shared(move(still_HW.astype(np.uint8), stayed_23) > 0, still_HW) > 0.95
    (left, top), (first_left, first_top) = place(24), place(0)
    assert found[-1][0][:, 2] == pytest.approx([left - first_left, top - first_top], abs=3)


def test_a_turn_and_a_scale_of_a_large_frame_are_followed() -> None:
    large = (1600, 1200)
    ground_HWC = cv2.resize(pattern((200, 150), 3), large, interpolation=cv2.INTER_CUBIC)
    maps = [cv2.getRotationMatrix2D((800, 600), 1.0 * step, 1.01**step) for step in range(11)]
    clip = [cv2.warpAffine(ground_HWC, each, large, borderMode=cv2.BORDER_REFLECT) for each in maps]
    region_HW = block(600, 450, 300, 200, large)
    *_, (last_23,) = follow_regions([region_HW], clip)
    assert last_23 is not None
    corners_N2 = np.array([(600, 450), (900, 450), (600, 650), (900, 650)], np.float64)
    wanted_N2 = corners_N2 @ maps[-1][:, :2].T + maps[-1][:, 2]
    assert np.abs(corners_N2 @ last_23[:, :2].T + last_23[:, 2] - wanted_N2).max() < 3


def test_a_cut_ends_it() -> None:
    clip = [*frames(5), *[pattern(SIZE, seed) for seed in (7, 8)]]
    assert len(list(follow_regions([square(0)], clip))) == 4
    other = [pattern(SIZE, 9)] * 3
    assert len(list(follow_regions([square(0)], [*frames(3), *other]))) == 2, "also where it is still behind the cut"


def test_what_leaves_the_picture_is_over() -> None:
    found = list(follow_regions([square(0)], [np.roll(frames(1)[0], 4 * step, axis=1) for step in range(1, 40)]))
    assert 0 < len(found) < 38


def test_one_region_is_lost_and_the_other_goes_on() -> None:
    clip = frames(12)
    for rgb_HWC in clip[6:]:
        rgb_HWC[50:96, 0:70] = pattern((70, 46), int(rgb_HWC.sum()) % 1000, 0, 256)
    *_, (square_23, covered_23) = follow_regions([square(0), block(10, 60, 40, 30)], clip)
    assert square_23 is not None
    assert covered_23 is None


def test_a_bare_region_moves_with_what_is_around_it_and_bare_pictures_stand_still() -> None:
    ground_HWC = pattern((240, 160), 5)
    ground_HWC[60:90, 80:110] = 128
    clip = [np.ascontiguousarray(ground_HWC[20 + 2 * step : 140, 2 * step : 180]) for step in range(8)]
    clip = [rgb_HWC[:100, :160] for rgb_HWC in clip]
    region_HW = block(85, 44, 18, 20, (160, 100))
    *_, (moved_23,) = follow_regions([region_HW], clip)
    assert moved_23 is not None
    assert moved_23[:, 2] == pytest.approx([-14, -14], abs=1)
    grey = [np.full((96, 160, 3), 90, np.uint8)] * 4
    assert [each[0].tolist() for each in follow_regions([square(0)], grey)] == [np.eye(2, 3).tolist()] * 3
    flash = [*grey, np.full((96, 160, 3), 200, np.uint8)]
    assert len(list(follow_regions([square(0)], flash))) == 3


def test_regions_are_apart_and_together_all_that_is_painted() -> None:
    painted_HW = block(10, 10, 20, 20) | block(32, 10, 4, 4) | block(100, 60, 8, 8)
    large, small = regions_of(painted_HW | block(31, 10, 1, 1))
    assert (large.sum(), small.sum()) == (417, 64)
    dots_HW = np.zeros((400, 400), np.bool_)
    dots_HW[10::40, 10::40] = True
    regions = regions_of(dots_HW)
    assert len(regions) == 12
    assert np.array_equal(np.sum(regions, axis=0), dots_HW.astype(int))
    assert regions_of(np.zeros((40, 40), np.bool_)) == []
    assert list(follow_regions([], frames(3))) == []


def test_a_move_mixes_no_values() -> None:
    mask_HW = np.zeros((40, 60), np.uint8)
    mask_HW[10:20, 10:20], mask_HW[12:15, 12:15] = 255, 80
    moved_HW = move(mask_HW, np.array([[1, 0, 5], [0, 1, -3]], np.float64))
    assert np.array_equal(moved_HW[7:17, 15:25], mask_HW[10:20, 10:20])
    assert set(np.unique(move(mask_HW, cv2.getRotationMatrix2D((15, 15), 20, 1.1)))) == {0, 80, 255}
