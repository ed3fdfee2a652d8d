from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from maskloss.core.bundled.found_faces import find_faces
from maskloss.core.bundled.nets import Net
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.bundled.registry import POSE, SELFIE

from benchmarks.detection import read_without_face


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


@pytest.mark.models
def test_who_keeps_a_person_asks_no_net_for_what_the_masks_were_built_from(
    t1_photograph: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    """Parts in one thread, then the same person's faces and mask in another, as the two steps ask for them."""
    rgb_HWC = t1_photograph[:, ::-1].copy()  # mirrored, so that no other test has asked for it
    with ThreadPoolExecutor(1) as pool:
        pool.submit(BundledPartSegmenter().segment, rgb_HWC).result()
    ran: list[str] = []
    run = Net.run

    def noted(net: Net, pictures_NHWC: np.ndarray) -> list[np.ndarray]:
        ran.append(net.name)
        return run(net, pictures_NHWC)

    monkeypatch.setattr(Net, "run", noted)
    recognizer = BundledFaceRecognizer()
    faces = recognizer.detect(rgb_HWC)
    masks = BundledPersonSegmenter().segment(rgb_HWC, faces)
    assert (len(faces), len(masks), ran) == (6, 6, [])
    again = recognizer.detect(rgb_HWC.copy())
    np.testing.assert_array_equal([face.embedding for face in again], [face.embedding for face in faces])
    BundledPersonSegmenter().segment(rgb_HWC, faces[:3])
    assert set(ran) == {POSE, SELFIE}, "other people are looked for, and the pictures alone are not enough"
