from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.errors import ImageError, PersonError
from maskloss.core.people.identity import MatchRules, OnNoMatch, Outcome
from maskloss.core.people.instances import PersonMask
from maskloss.core.people.pick import pick_person

from .plain_people import DistanceRecognizer, face, identity

RECOGNIZER = DistanceRecognizer()
HER = identity((0.0, 0.0))
SIZE = (100, 50)
FACES = [face(0, (5, 5, 35, 35), (0.0, 0.9)), face(1, (55, 5, 85, 35), (0.0, 0.2))]
LEFT_HW = np.zeros((50, 100), np.float32)
LEFT_HW[:, :40] = 1
RIGHT_HW = np.zeros((50, 100), np.float32)
RIGHT_HW[:, 50:] = 1
BOTH = [PersonMask(LEFT_HW), PersonMask(RIGHT_HW)]


def test_the_match_is_cut_out_with_its_area() -> None:
    mask_HW, decision = pick_person(SIZE, FACES, BOTH, RECOGNIZER, HER, MatchRules())
    np.testing.assert_array_equal(mask_HW, RIGHT_HW > 0.5)
    assert (decision.outcome, decision.chosen, decision.area) == (Outcome.MATCH, 1, 0.5)


@pytest.mark.parametrize(("rule", "outcome"), [(OnNoMatch.EMPTY, Outcome.EMPTY), (OnNoMatch.SKIP, Outcome.SKIPPED)])
def test_nobody_matches_nobody_is_kept(rule: OnNoMatch, outcome: Outcome) -> None:
    rules = MatchRules(min_similarity=0.99, on_no_match=rule)
    mask_HW, decision = pick_person(SIZE, FACES, BOTH, RECOGNIZER, HER, rules)
    assert mask_HW.shape == (50, 100)
    assert not mask_HW.any()
    assert (decision.outcome, decision.chosen, decision.area) == (outcome, None, 0.0)


@pytest.mark.parametrize(("rule", "outcome"), [(OnNoMatch.EMPTY, Outcome.EMPTY), (OnNoMatch.SKIP, Outcome.SKIPPED)])
def test_the_match_without_a_mask_keeps_nobody(rule: OnNoMatch, outcome: Outcome) -> None:
    mask_HW, decision = pick_person(SIZE, FACES, BOTH[:1], RECOGNIZER, HER, MatchRules(on_no_match=rule))
    assert not mask_HW.any()
    assert (decision.outcome, decision.chosen) == (outcome, None)
    assert "face 1 matches with 0.80" in decision.reason
    assert "but it has no person mask" in decision.reason


@pytest.mark.parametrize("rule", [OnNoMatch.ERROR, OnNoMatch.LARGEST])
def test_the_match_without_a_mask_is_an_error_with_every_score(rule: OnNoMatch) -> None:
    message = r"Face 1 has no person mask.*face 0 at \(5, 5\) 0\.10, face 1 at \(55, 5\) 0\.80"
    with pytest.raises(PersonError, match=message):
        pick_person(SIZE, FACES, BOTH[:1], RECOGNIZER, HER, MatchRules(on_no_match=rule))


def test_masks_of_another_picture_are_refused() -> None:
    with pytest.raises(ImageError, match="A person mask is 100 x 50 pixels, but the picture is 50 x 100"):
        pick_person((50, 100), FACES, BOTH, RECOGNIZER, HER, MatchRules())
