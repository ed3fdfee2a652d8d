"""Real group photographs: each of six people apart, and one woman found again in another photograph and in no other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.people.decide import decide
from maskloss.core.people.decision import MatchRules, OnNoMatch, Outcome
from maskloss.core.people.find_person import find_person
from maskloss.core.people.references import reference_identity

pytestmark = pytest.mark.models


def test_all_six_people_of_a_group_are_isolated_in_turn(t1_photograph: np.ndarray) -> None:
    recognizer = BundledFaceRecognizer()
    faces = recognizer.detect(t1_photograph)
    assert len(faces) == 6
    masks = BundledPersonSegmenter().segment(t1_photograph, faces)
    isolated: list[np.ndarray] = []
    for face in faces:
        # By the face itself as the reference, so that the right one of six is found by comparing.
        x0, y0, x1, y1 = (round(edge) for edge in face.box)
        side = max(x1 - x0, y1 - y0)
        window = slice(max(0, y0 - side), y1 + side), slice(max(0, x0 - side), x1 + side)
        close_HWC = t1_photograph[window]
        near = recognizer.detect(close_HWC)
        middle = (x0 + x1) / 2 - window[1].start
        index = min(near, key=lambda each: abs((each.box[0] + each.box[2]) / 2 - middle)).index
        identity, _, _ = reference_identity(recognizer, [("close-up", close_HWC)], index)
        found = find_person(t1_photograph, recognizer, identity, masks, MatchRules())
        mask_HW = found.mask_HW
        assert (found.decision.outcome, found.decision.chosen) == (Outcome.MATCH, face.index)
        for other in faces:
            middle_yx = int((other.box[1] + other.box[3]) / 2), int((other.box[0] + other.box[2]) / 2)
            assert mask_HW[middle_yx] == (other.index == face.index)
        isolated.append(mask_HW)
    assert (np.sum(isolated, axis=0) > 1).mean() < 0.005, "nobody has anybody else's pixels"
    assert np.any(isolated, axis=0).mean() > 0.3


def test_the_woman_of_one_photograph_is_found_in_one_other_and_nowhere_else(
    sample_photograph: Callable[[int], np.ndarray], t1_photograph: np.ndarray
) -> None:
    recognizer = BundledFaceRecognizer()
    identity, report, _ = reference_identity(recognizer, [("sample1", sample_photograph(1))], face_index=2)
    assert report["references"][0]["faces"] == 3
    others = {f"sample{number}": sample_photograph(number) for number in (2, 3, 4, 5, 6)} | {"t1": t1_photograph}
    rules = MatchRules(on_no_match=OnNoMatch.SKIP)
    found = {name: decide(recognizer.detect(rgb_HWC), recognizer, identity, rules) for name, rgb_HWC in others.items()}
    assert {name: decision.chosen for name, decision in found.items() if decision.chosen is not None} == {"sample3": 1}
    assert all(len(decision.faces) >= 3 for decision in found.values()), "there were bystanders to take her for"
