"""The bundled models on photographs with ground truth that others, or our own hand, have drawn."""

from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer

from benchmarks.labels import NAMES, label_map, photograph, polygons
from benchmarks.parts import found_map, overlap
from benchmarks.people import PHOTOGRAPHS, scores
from benchmarks.photographs import read_rgb

pytestmark = [pytest.mark.models, pytest.mark.photographs]


def test_one_person_of_a_group_is_cut_out_as_the_ground_truth_has_it():
    everyone = [score for name in PHOTOGRAPHS for score in scores(name)]
    assert len(everyone) == 13
    seen = [score.iou for score in everyone if score.iou is not None]
    assert len(seen) >= 8
    assert np.mean(seen) >= 0.70
    assert min(seen) > 0.5


def test_a_man_is_found_in_other_photographs_and_another_man_is_not():
    recognizer = BundledFaceRecognizer()
    one, again, third, other = (
        max(recognizer.detect(read_rgb(name)), key=lambda face: face.area_px).embedding
        for name in ("obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg")
    )
    least = recognizer.default_min_similarity
    same = [recognizer.similarity(a, b) for a, b in ((one, again), (one, third), (again, third))]
    assert min(same) > least + 0.05
    assert max(recognizer.similarity(embedding, other) for embedding in (one, again, third)) < least - 0.05


def test_the_labels_fit_their_photographs():
    for name in NAMES:
        height, width = photograph(name).shape[:2]
        for person, tier, points_N2 in polygons(name):
            assert tier in ("face", "hair", "body", "ignore"), (name, person)
            assert (points_N2 >= 0).all()
            assert (points_N2 <= (width, height)).all()


@pytest.mark.parametrize(("name", "hair", "face"), [("astronaut", 0.8, 0.75), ("zidane", 0.6, 0.65)])
def test_parts_agree_with_the_drawn_labels(name: str, hair: float, face: float):
    """Only where the segmenter is clearly right: benchmarks/parts.py reports all photographs."""
    rgb_HWC = photograph(name)
    body_iou, hair_iou, face_iou = overlap(
        label_map(name, rgb_HWC.shape[1::-1]), found_map(BundledPartSegmenter(), rgb_HWC)
    )
    assert hair_iou > hair
    assert face_iou > face
    assert body_iou > 0.7
