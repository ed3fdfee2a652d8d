"""Checkpoints beside the base model, by faces made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from maskloss.core.people.faces import Face
from maskloss.core.people.identity import Identity
from maskloss.core.scores.checkpoint_scores import (
    BLEED,
    PLAIN,
    POSITIVE,
    CheckpointScores,
    score_checkpoint,
    scores_from_json,
)
from maskloss.core.scores.copies import hash_pictures
from maskloss.core.scores.picture_scores import PictureScorer
from maskloss.core.scores.training_pictures import TrainingPictures

KEYPOINTS_K2 = np.full((6, 2), 20.0)


class PaintedFaces:
    """Finds a face in the upper left corner where that is not black; how like the person it is, its red says."""

    name = "painted"
    identity = "painted/1"
    default_min_similarity = 0.5

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        red = float(rgb_HWC[0, 0, 0])
        if red == 0:
            return []
        return [Face(0, (10.0, 10.0, 30.0, 30.0), 0.9, KEYPOINTS_K2, None, np.array([red / 255], np.float32))]

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        return 1.0 - abs(float(a[0]) - float(b[0]))


PERSON = Identity(np.ones((1, 1), np.float32), PaintedFaces.identity, ("her",))


def scene(seed: int, face: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rgb_HWC = np.kron(rng.integers(20, 235, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    rgb_HWC[0, 0] = face
    return rgb_HWC


def score(
    drawn: Mapping[str, Sequence[np.ndarray]],
    base: Mapping[str, Sequence[np.ndarray]],
    training: TrainingPictures | None = None,
) -> CheckpointScores:
    return score_checkpoint(7, drawn, base, PictureScorer(PaintedFaces(), PERSON, training), lambda: None)


def test_likeness_is_the_mean_over_the_pictures_with_a_face() -> None:
    drawn = {POSITIVE: [scene(1, 255), scene(2, 153), scene(3, 0)]}
    base = {POSITIVE: [scene(1, 51), scene(2, 0), scene(3, 0)]}
    scores = score(drawn, base)
    assert (scores.step, scores.pictures, scores.faces) == (7, 3, 2)
    assert (scores.likeness, scores.base_likeness) == (0.8, 0.2)
    assert (scores.bleed, scores.copy_risk, scores.copy_of, scores.background_leak, scores.drift) == (None,) * 5


def test_no_face_anywhere_is_unknown_and_no_zero() -> None:
    scores = score({POSITIVE: [scene(1)]}, {POSITIVE: [scene(1)]})
    assert (scores.faces, scores.likeness, scores.base_likeness) == (0, None, None)


def test_bleed_is_the_rise_over_the_base_models_faces_of_the_same_noise() -> None:
    drawn = {POSITIVE: [scene(0)], BLEED: [scene(1, 204), scene(2, 102), scene(3, 255)]}
    base = {POSITIVE: [scene(0)], BLEED: [scene(1, 102), scene(2, 51), scene(3, 0)]}
    assert score(drawn, base).bleed == pytest.approx(0.3), "the third pair has no face to compare with"
    assert score(base, base).bleed == 0


def test_drift_is_what_changed_of_the_plain_prompts_pictures() -> None:
    same = {POSITIVE: [scene(0)], PLAIN: [scene(1), scene(2)]}
    other = {POSITIVE: [scene(0)], PLAIN: [scene(1), scene(9)]}
    assert score(same, same).drift == 0
    assert 0.15 < (score(other, same).drift or 0) < 0.35, "half of the pictures changed half of their bits"


def test_copies_and_training_backgrounds_are_measured_against_the_photographs() -> None:
    from maskloss.core.scores.backgrounds import describe_background, outside_people

    photographs = [(str(seed), scene(seed)) for seed in (20, 21, 22)]
    hashes = hash_pictures(photographs)
    outside_HW = outside_people((128, 128), [(10.0, 10.0, 30.0, 30.0)])
    rooms = tuple(describe_background(rgb_HWC, outside_HW) for _, rgb_HWC in photographs)
    training = TrainingPictures(hashes, hashes.typical(), tuple(each for each in rooms if each is not None))
    base = {POSITIVE: [scene(30, 51), scene(31, 51)]}
    fresh = {POSITIVE: [scene(32, 255), scene(33, 255)]}
    copied = {POSITIVE: [scene(32, 255), scene(21, 255)]}
    clean, copying = score(fresh, base, training), score(copied, base, training)
    assert copying.copy_of == "21"
    assert (copying.copy_risk or 0) > 0.3 > (clean.copy_risk or 0) + 0.15
    assert (copying.background_leak or 0) > 0.15 > (clean.background_leak or 0) + 0.1


def test_json_and_back() -> None:
    scores = CheckpointScores(3, 4, 2, 0.5, 0.2, 0.1, -0.05, "a", None, 0.3)
    assert scores_from_json(scores.to_json()) == scores
    with pytest.raises(KeyError):
        scores_from_json({"step": 3})
