from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.bundled.blazeface import Detection
from maskloss.core.bundled.face_mesh import fit_meshes, square_to_input
from maskloss.core.bundled.found_faces import find_faces


def test_square_to_input_takes_the_squares_corners_to_the_nets():
    forward_23 = square_to_input(np.array([50.0, 40.0]), 20.0, 0.0, 192)
    corners = np.array([[40.0, 30.0, 1], [60.0, 30.0, 1], [60.0, 50.0, 1]])
    np.testing.assert_allclose(corners @ forward_23.T, [[0, 0], [192, 0], [192, 192]], atol=1e-4)
    turned_23 = square_to_input(np.array([50.0, 40.0]), 20.0, np.pi / 2, 192)
    np.testing.assert_allclose(np.array([60.0, 30.0, 1]) @ turned_23.T, [0, 0], atol=1e-4)


@pytest.mark.models
def test_the_mesh_lies_on_the_face(t1_photograph: np.ndarray):
    for found in find_faces(t1_photograph):
        mesh, face = found.mesh, found.detection
        assert mesh.points_N2.shape == (468, 2)
        assert mesh.score > 0.9
        tip_of_the_nose = mesh.points_N2[1]
        assert np.linalg.norm(tip_of_the_nose - face.keypoints_K2[2]) < 0.15 * face.side_px
        oval_N2 = mesh.oval_N2
        assert oval_N2.shape == (36, 2)
        assert (oval_N2.min(0) < tip_of_the_nose).all()
        assert (oval_N2.max(0) > tip_of_the_nose).all()
        assert 0.4 < np.ptp(oval_N2[:, 1]) / face.side_px < 1.3


@pytest.mark.models
def test_the_mesh_doubts_a_place_without_a_face(t1_photograph: np.ndarray):
    keypoints_K2 = np.array([[40.0, 60], [80, 60], [60, 80], [60, 95], [25, 70], [95, 70]])
    grey_HWC = np.full((200, 200, 3), 90, np.uint8)
    (mesh,) = fit_meshes(grey_HWC, [Detection((10, 30, 110, 130), 0.9, keypoints_K2)])
    assert mesh.score < 0.5
