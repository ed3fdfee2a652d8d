"""The face that somebody pointed at is the person's, or nobody's is."""

import pytest
from maskloss.core.errors import PersonError
from maskloss.core.people.chosen import decide_by_hand, face_at
from maskloss.core.people.decision import MatchRules, OnNoMatch, Outcome

from .plain_people import DistanceRecognizer, face, identity

HER = identity((0.0, 0.0))
BOXES = [(10.0, 10.0, 30.0, 30.0), (40.0, 10.0, 60.0, 30.0), (55.0, 10.0, 75.0, 30.0)]
ELSEWHERE = (80.0, 60.0, 95.0, 75.0)


def test_the_face_that_shares_most_with_the_box_is_the_one() -> None:
    assert [face_at(box, BOXES) for box in BOXES] == [0, 1, 2]
    assert face_at((48.0, 8.0, 66.0, 34.0), BOXES) == 1  # another recogniser's frame around it
    assert face_at((20.0, 20.0, 40.0, 40.0), BOXES) is None
    assert face_at(ELSEWHERE, BOXES) is None
    assert face_at(ELSEWHERE, []) is None


def test_a_chosen_face_is_the_persons_whoever_it_looks_like() -> None:
    faces = [face(0, BOXES[0], (0.0, 0.1)), face(1, BOXES[1], (0.0, 0.9))]
    decision = decide_by_hand(faces, DistanceRecognizer(), HER, MatchRules(), BOXES[1])
    assert (decision.outcome, decision.chosen) == (Outcome.INDEX, 1)
    assert decision.reason == "face 1 was chosen by hand"
    assert [round(score.similarity or 0, 2) for score in decision.faces] == [0.9, 0.1]


@pytest.mark.parametrize(("rule", "outcome"), [(OnNoMatch.SKIP, Outcome.SKIPPED), (OnNoMatch.EMPTY, Outcome.EMPTY)])
def test_where_no_face_is_found_any_more_nobody_is_kept(rule: OnNoMatch, outcome: Outcome) -> None:
    her = [face(0, BOXES[0], (0.0, 0.1))]
    decision = decide_by_hand(her, DistanceRecognizer(), HER, MatchRules(on_no_match=rule), ELSEWHERE)
    assert (decision.outcome, decision.chosen) == (outcome, None)


@pytest.mark.parametrize("rule", [OnNoMatch.ERROR, OnNoMatch.LARGEST])
def test_the_largest_face_does_not_take_the_chosen_ones_place(rule: OnNoMatch) -> None:
    faces = [face(0, BOXES[0], (0.0, 0.1))]
    with pytest.raises(PersonError, match="the face that was chosen by hand is not found any more"):
        decide_by_hand(faces, DistanceRecognizer(), HER, MatchRules(on_no_match=rule), ELSEWHERE)
