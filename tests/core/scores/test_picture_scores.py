"""Likeness, copies and backgrounds of real photographs, by the bundled recogniser."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.people.identity import Identity
from maskloss.core.people.references import reference_identity
from maskloss.core.scores.backgrounds import describe_background, outside_people
from maskloss.core.scores.copies import hash_pictures
from maskloss.core.scores.likeness import measure_likeness
from maskloss.core.scores.picture_scores import PictureScorer, mean_likeness
from maskloss.core.scores.training_pictures import TrainingPictures

from benchmarks.photographs import read_rgb

models = pytest.mark.models

photographs = pytest.mark.photographs


@pytest.fixture(scope="module")
def recognizer() -> BundledFaceRecognizer:
    return BundledFaceRecognizer()


@models
def test_no_face_is_a_result_and_no_zero(recognizer: BundledFaceRecognizer) -> None:
    him = Identity(np.ones((1, 128), np.float32), recognizer.identity, ("him",))
    scorer = PictureScorer(recognizer, him)
    nothing = np.random.default_rng(1).integers(0, 255, (256, 320, 3), np.uint8)
    score = scorer.score(cv2.GaussianBlur(nothing, (0, 0), 9))
    assert (score.likeness.faces, score.likeness.best, mean_likeness([score])) == (0, None, None)
    assert score.to_json()["likeness"] is None


@models
@photographs
def test_a_photograph_scored_against_itself_is_a_copy_with_its_background(
    recognizer: BundledFaceRecognizer, sample_photograph: Callable[[int], np.ndarray]
) -> None:
    obama, other = read_rgb("obama.jpg"), sample_photograph(2)
    identity, _, _ = reference_identity(recognizer, [("him", obama)])
    hashes = hash_pictures([("obama", obama), ("sample5", sample_photograph(5))])
    boxes = measure_likeness(obama, recognizer, identity).boxes
    outside_HW = outside_people((obama.shape[1], obama.shape[0]), boxes)
    description_K = describe_background(obama, outside_HW)
    assert description_K is not None
    training = TrainingPictures(hashes, hashes.typical(), (description_K,))
    scorer = PictureScorer(recognizer, identity, training)
    same, stranger = scorer.score(obama), scorer.score(other)
    assert same.copy_of == "obama"
    assert same.copy_risk is not None
    assert stranger.copy_risk is not None
    assert same.copy_risk > 0.25 > stranger.copy_risk
    assert same.likeness.best == pytest.approx(1)
    assert same.background is not None
    assert stranger.background is not None
    assert same.background > 0.9 > stranger.background
