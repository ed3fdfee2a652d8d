from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from maskloss.core.bundled.found_faces import find_faces
from maskloss.core.bundled.person_segmenter import head_place, work_picture
from maskloss.core.bundled.pose_mask import HeadPlace, find_person


def test_distance_is_measured_in_face_sides():
    distance_HW = HeadPlace(np.array([4.0, 2.0]), 2.0).distance((6, 5))
    assert distance_HW.shape == (5, 6)
    assert distance_HW[2, 4] == 0
    assert distance_HW[2, 0] == 2
    assert distance_HW[4, 4] == 1


@pytest.mark.models
def test_painting_the_neighbours_keeps_the_net_on_our_person(sample_photograph: Callable[[int], np.ndarray]):
    """In sample4 the net, left alone, takes the woman beside for the rightmost one."""
    photograph = sample_photograph(4)
    small_HWC, scale = work_picture(photograph)
    heads = [head_place(face.detection.box, face.detection.keypoints_K2) for face in find_faces(photograph)]
    heads = [HeadPlace(head.centre * scale, head.side_px * scale) for head in heads]
    rightmost, neighbours = heads[3], heads[:3]
    hip = np.rint(rightmost.centre + np.array([1.2, 3.2]) * rightmost.side_px).astype(int)
    assert find_person(small_HWC, rightmost, [])[hip[1], hip[0]] < 0
    logit_HW = find_person(small_HWC, rightmost, neighbours)
    assert logit_HW.shape == small_HWC.shape[:2]
    assert np.abs(logit_HW).max() <= 6.001
    assert logit_HW[hip[1], hip[0]] > 0
    for head in neighbours:
        assert logit_HW[round(head.centre[1]), round(head.centre[0])] < 0
