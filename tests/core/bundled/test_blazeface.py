from __future__ import annotations

import cv2
import numpy as np
import pytest
from maskloss.core.bundled.blazeface import Detection, detect

pytestmark = pytest.mark.models


def test_six_people_have_six_faces_with_their_features_inside(t1_photograph: np.ndarray):
    faces = detect(t1_photograph, 0.6)
    assert len(faces) == 6
    for face in faces:
        x0, y0, x1, y1 = face.box
        right_eye, left_eye, nose, mouth = face.keypoints_K2[:4]
        assert right_eye[0] < left_eye[0]  # the person's right eye is on the picture's left
        assert (right_eye[1] + left_eye[1]) / 2 < nose[1] < mouth[1]
        assert x0 < nose[0] < x1
        assert y0 < nose[1] < y1
        assert face.side_px == pytest.approx(max(x1 - x0, y1 - y0))
        np.testing.assert_allclose(face.centre, [(x0 + x1) / 2, (y0 + y1) / 2])


def close_up(rgb_HWC: np.ndarray, face: Detection, side: float) -> tuple[np.ndarray, np.ndarray]:
    """The middle of a face, `side` times as wide as its box, and where it was cut out."""
    low = np.rint(face.centre - face.side_px * side / 2).astype(int)
    high = np.rint(face.centre + face.side_px * side / 2).astype(int)
    return rgb_HWC[low[1] : high[1], low[0] : high[0]], np.tile(low, 2)


@pytest.mark.parametrize("side", [0.9, 1.0, 1.15, 1.3])
@pytest.mark.parametrize("scale", [1, 6])
def test_a_close_up_has_its_face_where_the_photograph_has_it(t1_photograph: np.ndarray, side: float, scale: int):
    for face in detect(t1_photograph, 0.6):
        crop_HWC, corner = close_up(t1_photograph, face, side)
        crop_HWC = cv2.resize(crop_HWC, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        found = max(detect(crop_HWC, 0.6), key=lambda each: each.side_px)
        np.testing.assert_allclose(np.array(found.box) / scale + corner, face.box, atol=0.2 * face.side_px)


@pytest.mark.parametrize("shape", [(1.0, 2.5), (2.5, 1.0)])
def test_a_strip_through_a_face_is_a_close_up_as_well(t1_photograph: np.ndarray, shape: tuple[float, float]):
    faces = detect(t1_photograph, 0.6)
    face = faces[0]
    half = np.array(shape) * face.side_px / 2
    low = np.maximum(np.rint(face.centre - half).astype(int), 0)
    high = np.rint(face.centre + half).astype(int)
    found = detect(t1_photograph[low[1] : high[1], low[0] : high[0]], 0.6)
    assert any(np.abs(np.array(each.box) + np.tile(low, 2) - face.box).max() < 0.2 * face.side_px for each in found)


def test_a_face_found_in_a_tile_lies_where_the_picture_has_it(t1_photograph: np.ndarray):
    moved_HWC = np.full((1100, 1500, 3), 90, np.uint8)
    moved_HWC[150:1036, 180:1460] = t1_photograph

    def rows(faces):
        return np.array(sorted(face.box for face in faces))

    before, after = rows(detect(t1_photograph, 0.6)), rows(detect(moved_HWC, 0.6))
    np.testing.assert_allclose(after - [180, 150, 180, 150], before, atol=20)


@pytest.mark.parametrize("size", [(1, 1), (300, 200), (5, 900)])
def test_pictures_without_faces_have_none(size: tuple[int, int]):
    assert detect(np.full((size[1], size[0], 3), 127, np.uint8), 0.6) == []
