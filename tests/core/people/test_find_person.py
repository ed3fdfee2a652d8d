from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from maskloss.core.errors import ImageError, PersonError, SettingError
from maskloss.core.people.decision import MatchRules, OnNoMatch, Outcome
from maskloss.core.people.faces import Face
from maskloss.core.people.find_person import FoundPerson, find_people, find_person
from maskloss.core.people.instances import PersonMask

from .plain_people import DistanceRecognizer, face, identity

HER = identity((0.0, 0.0))
FACES = [face(0, (5, 5, 35, 35), (0.0, 0.9)), face(1, (55, 5, 85, 35), (0.0, 0.2))]
LEFT_HW = np.zeros((50, 100), np.float32)
LEFT_HW[:, :40] = 1
RIGHT_HW = np.zeros((50, 100), np.float32)
RIGHT_HW[:, 50:] = 1
BOTH = [PersonMask(LEFT_HW), PersonMask(RIGHT_HW)]


class TwoFaces(DistanceRecognizer):
    """Sees two faces in every picture, of which the right one is hers."""

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        return FACES


class CountingSegmenter:
    name = identity = "counts its calls"

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        self.calls += 1
        return BOTH


RECOGNIZER = TwoFaces()


def find(
    rules: MatchRules, people: CountingSegmenter | Sequence[PersonMask] = BOTH, shape: tuple[int, int] = (50, 100)
) -> FoundPerson:
    return find_person(np.zeros((*shape, 3), np.uint8), RECOGNIZER, HER, people, rules)


def test_of_several_people_whose_face_was_pointed_at_has_that_one_and_nobody_else_can() -> None:
    him = identity((0.0, 0.9))
    picture_HWC, rules = np.zeros((50, 100, 3), np.uint8), [MatchRules(on_no_match=OnNoMatch.SKIP)] * 2

    def find_both(*by_hand: tuple[float, float, float, float] | None) -> list[tuple[Outcome, int | None, str]]:
        found = find_people(picture_HWC, RECOGNIZER, (HER, him), BOTH, rules, None, by_hand)
        return [(each.decision.outcome, each.decision.chosen, each.decision.reason) for each in found]

    assert [each[:2] for each in find_both(None, None)] == [(Outcome.MATCH, 1), (Outcome.MATCH, 0)]
    left, right, nowhere = (0.05, 0.1, 0.35, 0.7), (0.55, 0.1, 0.85, 0.7), (0.4, 0.8, 0.5, 0.9)
    assert find_both(left, right) == [
        (Outcome.INDEX, 0, "face 0 was chosen by hand"), (Outcome.INDEX, 1, "face 1 was chosen by hand"),
    ]  # fmt: skip
    (hers, his) = find_both(left, None)
    assert hers[:2] == (Outcome.INDEX, 0)
    assert his[1] is None, "the face that is his was given away, and the other is too little like him"
    (hers, his) = find_both(nowhere, None)
    assert (hers[:2], his[:2]) == ((Outcome.SKIPPED, None), (Outcome.MATCH, 0)), "she is looked for nowhere else"
    assert "not found any more" in hers[2]
    with pytest.raises(SettingError, match="Face 0 was chosen for two people"):
        find_both(left, left)


def test_the_match_is_cut_out_with_its_area() -> None:
    found = find(MatchRules())
    decision = found.decision
    np.testing.assert_array_equal(found.mask_HW, RIGHT_HW > 0.5)
    np.testing.assert_array_equal(found.segmented_HW, RIGHT_HW > 0.5)
    assert found.faces == FACES
    assert (decision.outcome, decision.chosen, decision.area) == (Outcome.MATCH, 1, 0.5)


@pytest.mark.parametrize(("rule", "outcome"), [(OnNoMatch.EMPTY, Outcome.EMPTY), (OnNoMatch.SKIP, Outcome.SKIPPED)])
def test_nobody_matches_nobody_is_kept(rule: OnNoMatch, outcome: Outcome) -> None:
    rules = MatchRules(min_similarity=0.99, on_no_match=rule)
    found = find(rules)
    decision = found.decision
    assert found.mask_HW.shape == (50, 100)
    assert not found.mask_HW.any()
    assert (decision.outcome, decision.chosen, decision.area) == (outcome, None, 0.0)


@pytest.mark.parametrize(("rule", "outcome"), [(OnNoMatch.EMPTY, Outcome.EMPTY), (OnNoMatch.SKIP, Outcome.SKIPPED)])
def test_the_match_without_a_mask_keeps_nobody(rule: OnNoMatch, outcome: Outcome) -> None:
    found = find(MatchRules(on_no_match=rule), BOTH[:1])
    decision = found.decision
    assert not found.mask_HW.any()
    assert (decision.outcome, decision.chosen) == (outcome, None)
    assert "face 1 matches with 0.80" in decision.reason
    assert "but it has no person mask" in decision.reason


@pytest.mark.parametrize("rule", [OnNoMatch.ERROR, OnNoMatch.LARGEST])
def test_the_match_without_a_mask_is_an_error_with_every_score(rule: OnNoMatch) -> None:
    message = r"Face 1 has no person mask.*face 0 at \(5, 5\) 0\.10, face 1 at \(55, 5\) 0\.80"
    with pytest.raises(PersonError, match=message):
        find(MatchRules(on_no_match=rule), BOTH[:1])


def test_masks_of_another_picture_are_refused() -> None:
    with pytest.raises(ImageError, match="A person mask is 100 x 50 pixels, but the picture is 50 x 100"):
        find(MatchRules(), shape=(100, 50))
    with pytest.raises(ImageError, match="A person mask is 100 x 50 pixels, but the picture is 50 x 100"):
        find(MatchRules(), CountingSegmenter(), shape=(100, 50))


@pytest.mark.parametrize("rule", [OnNoMatch.EMPTY, OnNoMatch.SKIP])
def test_nobody_is_segmented_when_nobody_was_chosen(rule: OnNoMatch) -> None:
    segmenter = CountingSegmenter()
    found = find(MatchRules(min_similarity=0.99, on_no_match=rule), segmenter)
    assert (segmenter.calls, found.decision.chosen, found.mask_HW.any()) == (0, None, False)
    with pytest.raises(PersonError, match="cannot be told apart"):
        find(MatchRules(min_similarity=0.99, on_no_match=OnNoMatch.ERROR), segmenter)
    with pytest.raises(PersonError, match="face_index is 2"):
        find(MatchRules(face_index=2), segmenter)
    assert segmenter.calls == 0
    for rules in (MatchRules(), MatchRules(face_index=0), MatchRules(0.99, on_no_match=OnNoMatch.LARGEST)):
        find(rules, segmenter)
    assert segmenter.calls == 3
