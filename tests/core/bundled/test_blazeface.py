from __future__ import annotations

import cv2
import numpy as np
import pytest
from maskloss.core.bundled.blazeface import detect, detect_tiled

pytestmark = pytest.mark.models


def test_six_people_have_six_faces_with_their_features_inside(t1_photograph: np.ndarray):
    faces = detect_tiled(t1_photograph, 0.6)
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


def test_tiles_find_faces_that_are_too_small_for_the_whole_picture(t1_photograph: np.ndarray):
    canvas_HWC = np.full((1500, 2200, 3), 128, np.uint8)
    canvas_HWC[500:943, 800:1440] = cv2.resize(t1_photograph, (640, 443), interpolation=cv2.INTER_AREA)
    whole, tiled = detect(canvas_HWC, 0.6), detect_tiled(canvas_HWC, 0.6)
    assert len(whole) < 2
    assert len(tiled) >= 5


def test_a_face_found_in_a_tile_lies_where_the_picture_has_it(t1_photograph: np.ndarray):
    moved_HWC = np.full((1100, 1500, 3), 90, np.uint8)
    moved_HWC[150:1036, 180:1460] = t1_photograph

    def rows(faces):
        return np.array(sorted(face.box for face in faces))

    before, after = rows(detect_tiled(t1_photograph, 0.6)), rows(detect_tiled(moved_HWC, 0.6))
    np.testing.assert_allclose(after - [180, 150, 180, 150], before, atol=20)


@pytest.mark.parametrize("size", [(1, 1), (300, 200), (5, 900)])
def test_pictures_without_faces_have_none(size: tuple[int, int]):
    assert detect_tiled(np.full((size[1], size[0], 3), 127, np.uint8), 0.6) == []
