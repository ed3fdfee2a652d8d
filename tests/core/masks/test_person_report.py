"""What was decided about each photograph, as JSON and as a table, with the doubtful ones first."""

import json

import pytest
from maskloss.core.masks.person_report import LEFT_OUT, PersonRow, decision_from_json, person_report, person_table
from maskloss.core.people.decision import FaceScore, Outcome, PersonDecision

BOX = (1.0, 2.0, 3.0, 4.0)


def decision(outcome: Outcome, chosen: int | None, *similarities: float) -> PersonDecision:
    faces = tuple(FaceScore(index, BOX, value, index == chosen) for index, value in enumerate(similarities))
    return PersonDecision(faces, outcome, chosen, "why", 0.25, 0.5)


SURE = PersonRow("sure", "written", decision(Outcome.MATCH, 1, 0.1, 0.9), "why", 0.25, 0.125)
BARELY = PersonRow("barely", "unchanged", decision(Outcome.MATCH, 0, 0.51), "why", 0.5, 0.5)
GONE = PersonRow("gone", LEFT_OUT, decision(Outcome.SKIPPED, None, 0.2), "why", 0.0, 0.0)
GIVEN = PersonRow("given", "kept", None, "drawn by hand", 1 / 3, 1.0, {"frames": 7})


def test_the_doubtful_ones_come_first_and_everything_is_counted() -> None:
    report = person_report([SURE, GIVEN, BARELY, GONE])
    names = [row["name"] for row in report["items"]]
    assert names.index("gone") < names.index("barely") < names.index("sure")
    assert report["counts"] == {
        "items": 4, "left_out": 1, "written": 1, "unchanged": 1, "kept": 1,
        "decided_given": 1, "decided_match": 2, "decided_skipped": 1,
    }  # fmt: skip


def test_a_row_tells_its_faces_and_a_given_mask_has_none() -> None:
    row = SURE.to_json()
    assert (row["decision"], row["needed"], row["area"], row["coverage"]) == ("match", 0.5, 0.25, 0.125)
    assert [face["chosen"] for face in row["faces"]] == [False, True]
    assert "video" not in row
    given = GIVEN.to_json()
    assert (given["decision"], given["faces"], given["area"]) == ("given", [], 0.333333)
    assert given["video"] == {"frames": 7}


def test_the_table_of_a_node_has_the_face_that_was_chosen_or_the_best_one() -> None:
    report = person_report([SURE, GIVEN, GONE])
    rows = {row["name"]: row for row in person_table(report)}
    assert [row["name"] for row in person_table(report)] == [item["name"] for item in report["items"]]
    assert rows["sure"] == {
        "name": "sure", "state": "written", "area": 0.25, "reason": "why", "faces": 2, "similarity": 0.9
    }  # fmt: skip
    assert (rows["gone"]["state"], rows["gone"]["similarity"]) == (LEFT_OUT, 0.2)
    assert (rows["given"]["faces"], rows["given"]["similarity"]) == (0, None)
    assert len(person_table(report, most=2)) == 2
    both = PersonRow("all", "written", None, "2 people together", 0.5, 0.5, people=("anna", "berta"), together=True)
    assert [(row["faces"], row["similarity"]) for row in person_table(person_report([both]))] == [(2, None)]


@pytest.mark.parametrize("row", [SURE, BARELY, GONE])
def test_a_decision_comes_back_from_json(row: PersonRow) -> None:
    assert decision_from_json(json.loads(json.dumps(row.to_json() | {"area": row.decision.area}))) == row.decision


def test_the_table_is_aligned_and_nothing_makes_an_empty_one() -> None:
    lines = person_report([SURE, GIVEN, GONE])["text"].splitlines()
    assert [line.split()[-1] for line in lines if "sure" in line] == ["why"]
    assert len({line.index(share) for line, share in zip(sorted(lines), ("33.3%", "0.0%", "25.0%"), strict=True)}) == 1
    assert "given by hand" in sorted(lines)[0]
    empty = person_report([])
    assert (empty["items"], empty["text"], empty["counts"]["items"]) == ([], "", 0)
