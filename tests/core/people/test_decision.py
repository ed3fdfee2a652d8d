from __future__ import annotations

import json

import numpy as np
import pytest
from maskloss.core.errors import InternalError, PersonError, SettingError
from maskloss.core.people.decide import decide
from maskloss.core.people.decision import FaceScore, MatchRules, OnNoMatch, Outcome, PersonDecision
from maskloss.core.people.identity import Identity

from .plain_people import DistanceRecognizer, face, identity

RECOGNIZER = DistanceRecognizer()
HER = identity((0.0, 0.0))
BOX = [(50.0 * i, 10.0, 50.0 * i + 40, 50.0) for i in range(4)]


def _faces(*distances: float) -> list:  # type: ignore[type-arg]
    return [face(i, BOX[i], (0.0, distance) if distance else (1e-9, 0.0)) for i, distance in enumerate(distances)]


# --- decide: the person is there


def test_the_most_alike_face_is_chosen_and_every_score_is_told() -> None:
    decision = decide(_faces(0.9, 0.3, 0.7), RECOGNIZER, HER, MatchRules())
    assert (decision.outcome, decision.chosen) == (Outcome.MATCH, 1)
    assert [round(score.similarity or 0, 4) for score in decision.faces] == [0.1, 0.7, 0.3]
    assert [score.chosen for score in decision.faces] == [False, True, False]
    assert decision.reason == "face 1 matches with 0.70 (0.50 needed; the next is face 2 with 0.30)"
    assert decision.area is None


def test_a_similarity_of_just_what_is_needed_matches() -> None:
    assert decide(_faces(0.5), RECOGNIZER, HER, MatchRules()).chosen == 0


def test_min_similarity_replaces_the_recognisers_own() -> None:
    assert decide(_faces(0.6), RECOGNIZER, HER, MatchRules(min_similarity=0.35)).chosen == 0
    with pytest.raises(PersonError, match=r"the most alike is face 0 with 0\.70, and 0\.75 is needed"):
        decide(_faces(0.3), RECOGNIZER, HER, MatchRules(min_similarity=0.75))


# --- decide: it is not told apart, and nobody is kept

CASES = {
    "nobody there": ([], r"no face was found\. Give"),
    "nobody alike": (
        _faces(0.9, 0.8),
        r"the most alike is face 1 with 0\.20, and 0\.50 is needed "
        r"\(face 0 at \(0, 10\) 0\.10, face 1 at \(50, 10\) 0\.20\)\. Give",
    ),
    "two within the margin": (
        _faces(0.3, 0.9, 0.34),
        r"faces 0 and 2 are too close to each other with 0\.70 and 0\.66, and a margin of 0\.05 is needed "
        r"\(face 0 .* 0\.70, face 1 .* 0\.10, face 2 .* 0\.66\)",
    ),
    "a rival below what is needed": (_faces(0.48, 0.52), r"faces 0 and 1 are too close"),
    "too small": (
        [face(0, (5, 5, 65, 24), (0.0, 0.3))],
        r"face 0 matches with 0\.70 but is only 19 px, and 20 px are needed \(face 0 at \(5, 5\) 0\.70\)",
    ),
}


@pytest.mark.parametrize(("faces", "message"), CASES.values(), ids=CASES)
def test_error_lists_every_score(faces: list, message: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(PersonError, match=r"^The person cannot be told apart: " + message):
        decide(faces, RECOGNIZER, HER, MatchRules())


@pytest.mark.parametrize("faces", [case[0] for case in CASES.values()], ids=CASES)
@pytest.mark.parametrize(("rule", "outcome"), [(OnNoMatch.EMPTY, Outcome.EMPTY), (OnNoMatch.SKIP, Outcome.SKIPPED)])
def test_empty_and_skip_keep_nobody(faces: list, rule: OnNoMatch, outcome: Outcome) -> None:  # type: ignore[type-arg]
    decision = decide(faces, RECOGNIZER, HER, MatchRules(on_no_match=rule))
    assert (decision.outcome, decision.chosen) == (outcome, None)
    assert not any(score.chosen for score in decision.faces)
    assert len(decision.faces) == len(faces)
    assert decision.reason.endswith("left empty, as asked" if rule is OnNoMatch.EMPTY else "the picture was left out")


def test_equal_faces_are_ambiguous_even_without_a_margin() -> None:
    with pytest.raises(PersonError, match="faces 0 and 1 are too close"):
        decide(_faces(0.3, 0.3), RECOGNIZER, HER, MatchRules(margin=0.0))
    assert decide(_faces(0.3, 0.31), RECOGNIZER, HER, MatchRules(margin=0.0)).chosen == 0


def test_a_face_too_small_to_choose_is_still_a_rival() -> None:
    faces = [face(0, BOX[0], (0.0, 0.3)), face(1, (60, 0, 70, 10), (0.0, 0.31))]
    with pytest.raises(PersonError, match="faces 0 and 1 are too close"):
        decide(faces, RECOGNIZER, HER, MatchRules())


def test_min_face_px_can_be_lowered() -> None:
    small = [face(0, (0, 0, 10, 10), (0.0, 0.3))]
    assert decide(small, RECOGNIZER, HER, MatchRules(min_face_px=10)).chosen == 0


def test_largest_is_taken_only_when_asked_and_said() -> None:
    faces = [face(0, (0, 0, 40, 40), (0.0, 0.9)), face(1, (50, 0, 100, 50), (0.0, 0.95))]
    decision = decide(faces, RECOGNIZER, HER, MatchRules(on_no_match=OnNoMatch.LARGEST))
    assert (decision.outcome, decision.chosen) == (Outcome.LARGEST, 1)
    assert decision.reason.startswith("the most alike is face 0 with 0.10")
    assert decision.reason.endswith("the largest face was taken, as asked")


def test_largest_without_a_face_is_an_error() -> None:
    with pytest.raises(PersonError, match="no face was found"):
        decide([], RECOGNIZER, HER, MatchRules(on_no_match=OnNoMatch.LARGEST))


# --- decide: by number


def test_face_index_needs_no_identity() -> None:
    decision = decide(_faces(0.9, 0.8), RECOGNIZER, None, MatchRules(face_index=1))
    assert (decision.outcome, decision.chosen) == (Outcome.INDEX, 1)
    assert [score.similarity for score in decision.faces] == [None, None]
    assert decision.reason == "face 1 was chosen by its number"


def test_face_index_wins_over_a_match_and_still_tells_the_scores() -> None:
    decision = decide(_faces(0.1, 0.8), RECOGNIZER, HER, MatchRules(face_index=1))
    assert decision.chosen == 1
    assert decision.faces[0].similarity == pytest.approx(0.9)


@pytest.mark.parametrize("rule", list(OnNoMatch))
def test_face_index_out_of_range_says_how_many_there_are(rule: OnNoMatch) -> None:
    with pytest.raises(PersonError, match=r"face_index is 2, but the picture shows 2 faces .*face 1 .* not compared"):
        decide(_faces(0.9, 0.8), RECOGNIZER, None, MatchRules(face_index=2, on_no_match=rule))


def test_face_index_where_nobody_is() -> None:
    with pytest.raises(PersonError, match=r"the picture shows 0 faces \(no face was found\)"):
        decide([], RECOGNIZER, None, MatchRules(face_index=0, on_no_match=OnNoMatch.SKIP))


# --- what does not fit together


def test_neither_identity_nor_face_index() -> None:
    with pytest.raises(SettingError, match="connect an identity, or choose a face with face_index"):
        decide(_faces(0.1), RECOGNIZER, None, MatchRules())


def test_identity_of_another_recogniser() -> None:
    other = Identity(np.ones((1, 2), np.float32), "buffalo_l/1", ("a",))
    with pytest.raises(SettingError, match="read by buffalo_l/1, but the picture by distance/1"):
        decide(_faces(0.1), RECOGNIZER, other, MatchRules())


def test_faces_must_be_numbered_in_order() -> None:
    with pytest.raises(InternalError, match=r"numbered from 0 in order, got \[1\]"):
        decide([face(1, BOX[0])], RECOGNIZER, HER, MatchRules())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_similarity": 1.5}, "min_similarity must be in the range 0 to 1, got 1.5"),
        ({"min_similarity": float("nan")}, "min_similarity must be in the range 0 to 1, got nan"),
        ({"margin": -0.1}, "margin must be in the range 0 to 1, got -0.1"),
        ({"face_index": -2}, "face_index must be -1 .* got -2"),
        ({"min_face_px": float("nan")}, "min_face_px must be 0 or more pixels, got nan"),
        ({"min_face_px": -1}, "min_face_px must be 0 or more pixels, got -1"),
        ({"on_no_match": "keep"}, "on_no_match must be one of error, empty, largest, skip, got 'keep'"),
    ],
)
def test_rules_refuse_what_is_out_of_range(fields: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        MatchRules(**fields)  # type: ignore[arg-type]


# --- the report's form


def test_decision_as_json() -> None:
    face = FaceScore(0, (1.0, 2.0, 3.14159, 4.0), 0.123456, True)
    decision = PersonDecision((face,), Outcome.MATCH, 0, "why", 0.25, 0.5)
    assert json.loads(json.dumps(decision.to_json(), allow_nan=False)) == {
        "faces": [{"index": 0, "box": [1.0, 2.0, 3.14, 4.0], "similarity": 0.1235, "chosen": True}],
        "needed": 0.5,
        "decision": "match",
        "reason": "why",
        "area": 0.25,
    }


def test_a_decision_cannot_contradict_itself() -> None:
    score = FaceScore(0, (0, 0, 1, 1), None, True)
    with pytest.raises(InternalError, match="decision skipped"):
        PersonDecision((score,), Outcome.SKIPPED, 0, "")
    with pytest.raises(InternalError, match="decision match"):
        PersonDecision((score,), Outcome.MATCH, None, "")
    with pytest.raises(InternalError, match="decision match: chosen 1, but marked"):
        PersonDecision((score,), Outcome.MATCH, 1, "")
