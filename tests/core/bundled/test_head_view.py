from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.bundled.head_view import FACE_PX, view_head


def mesh_at(forehead: tuple[float, float], chin: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Mesh points of which only forehead and chin matter, and an elliptic oval between them."""
    points_N2 = np.zeros((468, 2))
    points_N2[10], points_N2[152] = forehead, chin
    down = np.array(chin) - forehead
    across = np.array([-down[1], down[0]]) * 0.75
    turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)[:, None]
    oval_N2 = (np.array(forehead) + chin) / 2 - np.cos(turns) * down / 2 + np.sin(turns) * across / 2
    return points_N2, oval_N2


def alone(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture that is one person from edge to edge: that person's probability and everyone else's."""
    return np.ones((height, width), np.float32), np.zeros((height, width), np.float32)


@pytest.mark.parametrize("face_px", [20.0, 72.0, 300.0])
def test_a_view_has_the_same_scale_for_every_face(face_px: float):
    points_N2, oval_N2 = mesh_at((400, 300), (400, 300 + face_px))
    picture_HWC = np.zeros((800, 800, 3), np.uint8)
    picture_HWC[:, 400:] = 255
    view = view_head(picture_HWC, points_N2, oval_N2, *alone(800, 800))
    height = np.flatnonzero(view.oval_HW.any(1))
    assert np.ptp(height) == pytest.approx(FACE_PX, abs=2)
    assert view.up_HW[view.oval_HW].min() == pytest.approx(-0.5, abs=0.03)
    assert view.up_HW[view.oval_HW].max() == pytest.approx(0.5, abs=0.03)
    middle = view.oval_HW.shape[1] // 2
    assert view.rgb_HWC[100, middle - 5].max() < 60
    assert view.rgb_HWC[100, middle + 5].min() > 195
    assert view.aside_HW[100, middle] < 0.03
    assert (view.inner_HW <= view.oval_HW).all()
    assert np.count_nonzero(view.below_chin_HW[view.oval_HW] > 0.03) == 0


def test_up_follows_the_head_and_below_chin_follows_gravity():
    points_N2, oval_N2 = mesh_at((300, 400), (400, 400))  # lying: the forehead to the left of the chin
    view = view_head(np.zeros((800, 800, 3), np.uint8), points_N2, oval_N2, *alone(800, 800))
    assert view.up_HW[:, 0].min() > view.up_HW[:, -1].max()
    assert (np.diff(view.below_chin_HW, axis=0) > 0).all()
    assert (np.diff(view.below_chin_HW, axis=1) == 0).all()


def test_masks_go_back_to_their_place_on_the_picture():
    points_N2, oval_N2 = mesh_at((330, 250), (310, 350))
    view = view_head(np.zeros((600, 700, 3), np.uint8), points_N2, oval_N2, *alone(600, 700))
    back_HW = view.to_picture(view.oval_HW, (700, 600))
    assert back_HW.shape == (600, 700)
    ys, xs = np.nonzero(back_HW > 0.5)
    np.testing.assert_allclose([xs.mean(), ys.mean()], [320, 300], atol=1.5)
    assert np.ptp(ys) == pytest.approx(np.ptp(oval_N2[:, 1]), abs=4)
