"""How much the faces of a picture are like one person's: real photographs by the bundled recogniser."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.errors import SettingError
from maskloss.core.people.identity import Identity
from maskloss.core.people.references import reference_identity
from maskloss.core.scores.likeness import measure_likeness

from benchmarks.photographs import read_rgb

models = pytest.mark.models

photographs = pytest.mark.photographs


@pytest.fixture(scope="module")
def recognizer() -> BundledFaceRecognizer:
    return BundledFaceRecognizer()


@models
@photographs
def test_the_same_person_is_more_alike_than_any_other_in_nearly_all_pairs(
    recognizer: BundledFaceRecognizer, sample_photograph: Callable[[int], np.ndarray], t1_photograph: np.ndarray
) -> None:
    same: list[float] = []
    portraits = [read_rgb(name) for name in ("obama.jpg", "obama2.jpg", "obama3.jpg")]
    strangers = [read_rgb("biden.jpg"), t1_photograph, *(sample_photograph(number) for number in (2, 4, 5, 6))]
    identities = [reference_identity(recognizer, [("him", portrait)])[0] for portrait in portraits[:1]]
    others: list[float] = []
    for identity in identities:
        for portrait in portraits[1:]:
            best = measure_likeness(portrait, recognizer, identity).best
            assert best is not None
            same.append(best)
        others += [each for rgb in strangers for each in measure_likeness(rgb, recognizer, identity).similarities]
    her, _, _ = reference_identity(recognizer, [("sample1", sample_photograph(1))], face_index=2)
    third = measure_likeness(sample_photograph(3), recognizer, her)
    assert third.best == third.similarities[1]
    same.append(third.similarities[1])
    others += [each for index, each in enumerate(third.similarities) if index != 1]
    others += [each for rgb in strangers for each in measure_likeness(rgb, recognizer, her).similarities]
    assert len(others) > 30
    right = [one > other for one, other in itertools.product(same, others)]
    assert np.mean(right) >= 0.95


@models
def test_another_recognisers_identity_is_refused(recognizer: BundledFaceRecognizer) -> None:
    other = Identity(np.ones((1, 128), np.float32), "another", ("him",))
    with pytest.raises(SettingError, match="read by another, but the pictures by bundled-dlib"):
        measure_likeness(np.zeros((64, 64, 3), np.uint8), recognizer, other)
