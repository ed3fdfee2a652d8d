from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.bundled.install import DEMO_REFERENCE_FACE_INDEX
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.errors import ModelMissingError

# The woman of the demo in sample1, counted from the left.
SAMPLE1_FACE_INDEX = 2


@pytest.mark.models
def test_faces_are_numbered_from_left_to_right(t1_photograph: np.ndarray):
    faces = BundledFaceRecognizer().detect(t1_photograph)
    assert [face.index for face in faces] == [0, 1, 2, 3, 4, 5]
    middles = [(face.box[0] + face.box[2]) / 2 for face in faces]
    assert middles == sorted(middles)
    assert all(face.score >= 0.6 and face.embedding.shape == (128,) for face in faces)
    assert all(face.oval_N2 is not None for face in faces)


@pytest.mark.models
def test_the_woman_of_the_reference_is_found_and_nobody_else(
    sample_photograph: Callable[[int], np.ndarray], t1_photograph: np.ndarray
):
    recognizer = BundledFaceRecognizer()
    woman = recognizer.detect(sample_photograph(3))[DEMO_REFERENCE_FACE_INDEX].embedding
    groups = [recognizer.detect(sample_photograph(number)) for number in (1, 2, 4, 5, 6)]
    groups.append(recognizer.detect(t1_photograph))
    assert [len(faces) for faces in groups] == [3, 3, 4, 5, 4, 6]
    scores = [recognizer.similarity(woman, face.embedding) for face in groups[0]]
    assert int(np.argmax(scores)) == SAMPLE1_FACE_INDEX
    assert scores[SAMPLE1_FACE_INDEX] > recognizer.default_min_similarity + 0.05
    strangers = [score for index, score in enumerate(scores) if index != SAMPLE1_FACE_INDEX]
    strangers += [recognizer.similarity(woman, face.embedding) for faces in groups[1:] for face in faces]
    assert max(strangers) < recognizer.default_min_similarity - 0.05
    assert recognizer.similarity(woman, woman) == 1.0


@pytest.mark.models
def test_a_smaller_and_brighter_copy_of_a_face_is_the_same_person(sample_photograph: Callable[[int], np.ndarray]):
    recognizer = BundledFaceRecognizer()
    photograph = sample_photograph(6)
    copy = np.clip(photograph[::2, ::2].astype(np.float32) * 1.15 + 5, 0, 255).astype(np.uint8)
    for face, other in zip(recognizer.detect(photograph), recognizer.detect(copy), strict=True):
        assert recognizer.similarity(face.embedding, other.embedding) > 0.7


@pytest.mark.models
def test_a_picture_without_faces_has_none():
    assert BundledFaceRecognizer().detect(np.zeros((64, 48, 3), np.uint8)) == []


def test_without_models_there_is_no_recogniser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path))
    with pytest.raises(ModelMissingError, match="maskloss models --install"):
        BundledFaceRecognizer()
