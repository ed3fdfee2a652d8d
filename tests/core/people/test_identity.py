from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.errors import InternalError
from maskloss.core.people.identity import Identity, face_similarity

from .plain_people import DistanceRecognizer, identity

RECOGNIZER = DistanceRecognizer()
HER = identity((0.0, 0.0))
BOX = [(50.0 * i, 10.0, 50.0 * i + 40, 50.0) for i in range(4)]


def test_several_references_count_by_their_best_or_their_mean() -> None:
    two = identity((0.0, 0.0), (1.0, 0.0))
    # Beside the first reference the single one wins, in the middle the mean.
    assert face_similarity(RECOGNIZER, two, np.array([0.1, 0.0], np.float32)) == pytest.approx(0.9)
    assert face_similarity(RECOGNIZER, two, np.array([0.5, 0.1], np.float32)) == pytest.approx(0.9)


def test_an_identity_of_no_numbers_is_a_bug() -> None:
    with pytest.raises(InternalError, match="an embedding is not finite"):
        Identity(np.array([[np.nan, 1.0]], np.float32), "r", ("a.jpg",))


def test_fingerprint_follows_faces_and_recogniser_only() -> None:
    rows = np.array([[1.0, 2.0]], np.float32)
    base = Identity(rows, "r", ("a",)).fingerprint
    assert Identity(rows.copy(), "r", ("b",)).fingerprint == base
    assert Identity(rows, "s", ("a",)).fingerprint != base
    assert Identity(rows + 1, "r", ("a",)).fingerprint != base


def test_identity_refuses_what_does_not_fit() -> None:
    with pytest.raises(InternalError, match="do not fit 2 sources"):
        Identity(np.ones((1, 2), np.float32), "r", ("a", "b"))
    with pytest.raises(InternalError, match="not finite"):
        Identity(np.full((1, 2), np.nan, np.float32), "r", ("a",))
