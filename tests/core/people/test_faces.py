from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.errors import InternalError
from maskloss.core.people.faces import Face, crop_face

from .plain_people import face

POINTS = np.zeros((6, 2))
ONE = np.ones(3, np.float32)


def test_sides_of_a_face() -> None:
    her = face(0, (10.0, 20.0, 40.0, 60.0))
    assert (her.side_px, her.area_px) == (30.0, 1200.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, (5, 5, 5, 9), 0.5, POINTS, None, ONE), "box .* is empty"),
        ((0, (0, 0, float("nan"), 9), 0.5, POINTS, None, ONE), "box .* not finite"),
        ((0, (0, 0, 9, 9), 0.5, POINTS[:5], None, ONE), r"keypoints must be \(6, 2\), got \(5, 2\)"),
        ((0, (0, 0, 9, 9), 0.5, POINTS, POINTS[:2], ONE), r"oval must be \(N, 2\)"),
        ((0, (0, 0, 9, 9), 0.5, POINTS, None, ONE * np.nan), "embedding must be a finite vector"),
        ((0, (0, 0, 9, 9), 0.5, POINTS, None, ONE * 0), "embedding must be a finite vector"),
    ],
)
def test_a_face_refuses_what_is_broken(arguments: tuple, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(InternalError, match=message):
        Face(*arguments)


def test_crop_is_centred_on_the_face_and_repeats_the_edge() -> None:
    rgb_HWC = np.zeros((40, 40, 3), np.uint8)
    rgb_HWC[:20, :20] = (200, 100, 50)
    # The box (0, 0, 40, 40) has a crop of 64 px a side, so that the colour's edge lies in the crop's middle.
    crop_HWC = crop_face(rgb_HWC, face(0, (0.0, 0.0, 40.0, 40.0)), side_px=64)
    assert crop_HWC.shape == (64, 64, 3)
    np.testing.assert_array_equal(crop_HWC[:31, :31], np.broadcast_to((200, 100, 50), (31, 31, 3)))
    assert not crop_HWC[33:].any()
    assert not crop_HWC[:, 33:].any()


def test_crop_of_a_large_face_is_averaged() -> None:
    rgb_HWC = np.zeros((400, 400, 3), np.uint8)
    rgb_HWC[:, ::2] = 200
    crop_HWC = crop_face(rgb_HWC, face(0, (75.0, 75.0, 325.0, 325.0)), side_px=40)
    assert abs(crop_HWC.astype(int) - 100).max() <= 3
