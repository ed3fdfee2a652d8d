from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from maskloss.core.bundled.person_segmenter import (
    BundledPersonSegmenter,
    anyone_probability,
    highest_of_others,
    work_picture,
)
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.errors import ModelMissingError
from maskloss.core.people.instances import isolate_person


def oval_mask(oval_N2: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    mask_HW = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask_HW, [np.rint(oval_N2).astype(np.int32)], 1)
    return mask_HW > 0


@pytest.mark.models
def test_each_of_six_people_gets_a_mask_with_the_face_and_without_the_other_faces(t1_photograph: np.ndarray):
    faces = BundledFaceRecognizer().detect(t1_photograph)
    masks = BundledPersonSegmenter().segment(t1_photograph, faces)
    assert [mask.face_index for mask in masks] == [0, 1, 2, 3, 4, 5]
    probabilities = np.stack([mask.probability_HW for mask in masks])
    assert probabilities.shape == (6, *t1_photograph.shape[:2])
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    inside = probabilities > 0.5
    for face in faces:
        assert face.oval_N2 is not None
        oval_HW = oval_mask(face.oval_N2, t1_photograph.shape[:2])
        assert inside[face.index][oval_HW].mean() > 0.9
        others = [index for index in range(6) if index != face.index]
        assert inside[others][:, oval_HW].mean() < 0.1
        assert 0.02 < inside[face.index].mean() < 0.25
    assert (inside.sum(0) > 1).mean() < 0.005
    assert inside.any(0).mean() > 0.35


@pytest.mark.models
def test_one_person_of_three_is_isolated_whole(sample_photograph: Callable[[int], np.ndarray]):
    """The middle woman of sample3 wears black before a black sofa; the net alone finds little but her head."""
    photograph = sample_photograph(3)
    faces = BundledFaceRecognizer().detect(photograph)
    masks = BundledPersonSegmenter().segment(photograph, faces)
    mask_HW = isolate_person(faces, masks, 1)
    x0, y0, x1, y1 = faces[1].box
    middle, side = ((x0 + x1) / 2, (y0 + y1) / 2), max(x1 - x0, y1 - y0)
    for down in (0.0, 1.5, 2.5, 3.2):
        assert mask_HW[round(middle[1] + down * side), round(middle[0])]
    assert not mask_HW[: max(1, int(y0 - 0.8 * side))].any()
    assert 0.1 < mask_HW.mean() < 0.3


@pytest.mark.models
def test_nobody_asked_for_is_nobody_segmented(t1_photograph: np.ndarray):
    assert BundledPersonSegmenter().segment(t1_photograph, []) == []


@pytest.mark.models
def test_the_person_background_net_tells_people_from_the_room(sample_photograph: Callable[[int], np.ndarray]):
    small_HWC, _ = work_picture(sample_photograph(6))
    probability_HW = anyone_probability(small_HWC)
    height, width = probability_HW.shape
    assert probability_HW[: height // 8].mean() < 0.05
    assert probability_HW[height * 3 // 4, width // 4 : width * 3 // 4].mean() > 0.7


@pytest.mark.parametrize(
    ("size", "expected"), [((2048, 1000), (1024, 500)), ((640, 480), (640, 480)), ((9, 4000), (2, 1024))]
)
def test_big_pictures_are_worked_on_small(size: tuple[int, int], expected: tuple[int, int]):
    small_HWC, scale = work_picture(np.zeros((size[1], size[0], 3), np.uint8))
    assert small_HWC.shape[1::-1] == expected
    assert scale == min(1.0, 1024 / max(size))


def test_without_models_there_is_no_segmenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path))
    with pytest.raises(ModelMissingError, match="maskloss models --install"):
        BundledPersonSegmenter()


def test_the_highest_of_the_others():
    maps = np.random.default_rng(0).integers(0, 4, (5, 6, 7)).astype(np.float32)  # many are equally high
    for count in range(2, 6):
        found = list(highest_of_others(maps[:count]))
        for index, others_HW in enumerate(found):
            np.testing.assert_array_equal(others_HW, np.delete(maps[:count], index, axis=0).max(0))
