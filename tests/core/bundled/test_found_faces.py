from __future__ import annotations

import cv2
import numpy as np
import pytest
from maskloss.core.bundled.found_faces import Recent, check_picture, find_faces
from maskloss.core.errors import InternalError

from benchmarks.detection import read_without_face


def picture(value: int, size: tuple[int, int] = (4, 3)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


def test_recent_remembers_the_last_pictures_by_content():
    asked: list[str] = []
    recent: Recent[str] = Recent(pictures=2)

    def get(rgb_HWC: np.ndarray, text: str, also: bytes = b"") -> str:
        return recent.get(rgb_HWC, lambda: asked.append(text) or text, also)

    assert get(picture(1), "one") == "one"
    assert get(picture(1).copy(), "again") == "one"
    assert get(picture(1, (3, 4)), "other shape") == "other shape"
    assert get(picture(1), "other question", b"q") == "other question"
    assert get(picture(1), "forgotten") == "forgotten"
    assert asked == ["one", "other shape", "other question", "forgotten"]


def test_recent_takes_views_that_are_not_contiguous():
    recent: Recent[int] = Recent()
    wide_HWC = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)
    assert recent.get(wide_HWC[:, ::2], lambda: 1) == 1
    assert recent.get(wide_HWC[:, ::2].copy(), lambda: 2) == 1
    assert recent.get(wide_HWC[:, 1::2], lambda: 3) == 3


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_only_rgb_uint8_is_a_picture(wrong: np.ndarray):
    with pytest.raises(InternalError, match="uint8 RGB"):
        check_picture(wrong)


@pytest.mark.models
def test_faces_of_2_percent_of_the_picture_are_found_once(t1_photograph: np.ndarray):
    canvas_HWC = np.full((1500, 2200, 3), 128, np.uint8)
    canvas_HWC[500:943, 800:1440] = cv2.resize(t1_photograph, (640, 443), interpolation=cv2.INTER_AREA)
    middles = np.array([found.detection.centre for found in find_faces(canvas_HWC)])
    expected = np.array([found.detection.centre for found in find_faces(t1_photograph)]) / 2 + [800, 500]
    np.testing.assert_allclose(middles, expected, atol=12)


@pytest.mark.models
@pytest.mark.parametrize("side", [1.0, 1.15, 1.3])
def test_a_close_up_has_one_face(t1_photograph: np.ndarray, side: float):
    for found in find_faces(t1_photograph):
        low = np.rint(found.detection.centre - found.detection.side_px * side / 2).astype(int)
        high = np.rint(found.detection.centre + found.detection.side_px * side / 2).astype(int)
        (face,) = find_faces(t1_photograph[low[1] : high[1], low[0] : high[0]])
        np.testing.assert_allclose(
            face.detection.keypoints_K2[:4] + low, found.detection.keypoints_K2[:4], atol=0.2 * found.detection.side_px
        )


@pytest.mark.models
@pytest.mark.parametrize("name", ["chelsea", "coffee", "hubble_deep_field", "motorcycle_left", "retina", "rocket"])
def test_what_the_detector_takes_for_a_face_is_none_without_a_mesh(name: str):
    rgb_HWC = read_without_face(name)
    height, width = rgb_HWC.shape[:2]
    enlarged_HWC = cv2.resize(rgb_HWC, (3 * width, 3 * height), interpolation=cv2.INTER_CUBIC)
    for picture_HWC in (rgb_HWC, enlarged_HWC, rgb_HWC[: height // 2, : width // 2]):
        assert find_faces(picture_HWC) == ()
