"""Several people in one picture: each face is one person's at most, and in doubt nobody's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from maskloss.core.errors import PersonError, SettingError
from maskloss.core.people.decide import decide, decide_people
from maskloss.core.people.decision import MatchRules, OnNoMatch, Outcome, PersonDecision
from maskloss.core.people.identity import Identity

from .plain_people import DistanceRecognizer, face, identity

RECOGNIZER = DistanceRecognizer()
SKIP = MatchRules(on_no_match=OnNoMatch.SKIP)


def named(name: str, *embedding: float) -> Identity:
    return replace(identity(embedding), name=name)


def faces(*embeddings: tuple[float, float], side: float = 30.0) -> list:
    return [face(n, (n * 50.0, 0.0, n * 50.0 + side, side), (x + 1e-9, y)) for n, (x, y) in enumerate(embeddings)]


def found(people: list[Identity], *seen: tuple[float, float], rules: MatchRules = SKIP) -> list[PersonDecision]:
    return decide_people(faces(*seen), RECOGNIZER, people, [rules] * len(people))


ANNA, BERTA = named("anna", 0.0, 0.0), named("berta", 0.0, 1.0)


def test_each_person_has_the_face_that_is_theirs() -> None:
    anna, berta = found([ANNA, BERTA], (0.0, 0.95), (0.0, 0.1), (5.0, 5.0))
    assert (anna.outcome, anna.chosen) == (Outcome.MATCH, 1)
    assert (berta.outcome, berta.chosen) == (Outcome.MATCH, 0)
    assert [score.chosen for score in anna.faces] == [False, True, False]


def test_one_person_is_decided_as_alone() -> None:
    for seen in ([(0.0, 0.1), (0.0, 0.15)], [(0.0, 0.1), (4.0, 4.0)], [(4.0, 4.0)], []):
        alone = decide(faces(*seen), RECOGNIZER, ANNA, SKIP)
        assert found([ANNA], *seen) == [alone]
        assert alone.outcome in (Outcome.MATCH, Outcome.SKIPPED)


def test_two_people_never_have_one_face_and_whose_it_is_not_is_absent() -> None:
    between = named("anna", 0.0, 0.8)  # alike enough to the face that is berta's
    anna, berta = found([between, BERTA], (0.0, 1.0))
    assert (berta.outcome, berta.chosen) == (Outcome.MATCH, 0)
    assert (anna.outcome, anna.chosen) == (Outcome.ABSENT, None)
    assert "is berta's with" in anna.reason


def test_a_face_that_could_be_either_is_nobodys() -> None:
    anna, berta = found([ANNA, named("berta", 0.0, 0.02)], (0.0, 0.01))
    assert [anna.outcome, berta.outcome] == [Outcome.SKIPPED] * 2
    assert {anna.chosen, berta.chosen} == {None}
    assert "too much like both" in anna.reason + berta.reason


def test_a_sister_who_is_known_no_longer_makes_the_other_doubtful() -> None:
    seen = [(0.0, 0.10), (0.1, 0.0)]
    assert decide(faces(*seen), RECOGNIZER, ANNA, SKIP).outcome is Outcome.SKIPPED, "alone she cannot be told"
    anna, berta = found([ANNA, named("berta", 0.5, 0.0)], *seen)
    assert (anna.chosen, berta.chosen) == (0, 1)


def test_without_a_face_everybody_is_absent() -> None:
    assert [each.outcome for each in found([ANNA, BERTA])] == [Outcome.ABSENT] * 2


def test_a_doubt_is_an_error_where_that_is_asked_for_and_an_absence_is_none() -> None:
    strict = MatchRules(on_no_match=OnNoMatch.ERROR)
    anna, berta = found([ANNA, BERTA], (0.0, 0.0), rules=strict)
    assert (anna.outcome, berta.outcome) == (Outcome.MATCH, Outcome.ABSENT)
    with pytest.raises(PersonError, match="cannot be told apart"):
        found([ANNA, named("berta", 0.0, 0.02)], (0.0, 0.01), rules=strict)


def test_a_chosen_face_is_taken_from_all_others() -> None:
    seen = faces((0.0, 0.0), (5.0, 5.0))
    anna, berta = decide_people(seen, RECOGNIZER, [ANNA, BERTA], [SKIP, replace(SKIP, face_index=0)])
    assert (berta.outcome, berta.chosen) == (Outcome.INDEX, 0)
    assert anna.outcome is Outcome.ABSENT
    with pytest.raises(SettingError, match="Face 0 was chosen for two people"):
        decide_people(seen, RECOGNIZER, [ANNA, BERTA], [replace(SKIP, face_index=0)] * 2)


def test_a_face_that_is_too_small_is_doubtful() -> None:
    (anna, _) = decide_people(faces((0.0, 0.0), side=10.0), RECOGNIZER, [ANNA, BERTA], [SKIP] * 2)
    assert anna.outcome is Outcome.SKIPPED
    assert "only 10 px" in anna.reason
