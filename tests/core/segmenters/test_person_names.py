from __future__ import annotations

import pytest
from maskloss.core.segmenters.person_names import person_classes


def test_the_nets_own_names_decide() -> None:
    assert person_classes({0: "person", 1: "bicycle"}) == {0}
    assert person_classes({0: "dog", 1: "Person", 2: "WOMAN", 3: "child"}) == {1, 2, 3}
    assert person_classes({0: "sitting_person", 1: "no person", 2: "chair"}) == {0}
    assert person_classes({0: "face", 1: "hand"}) == frozenset()
    assert person_classes({}) == frozenset()


@pytest.mark.parametrize("thing", ["snow man", "gingerbread man", "record player", "toy baby", "model", "manhole", ""])
def test_things_are_no_people(thing: str) -> None:
    assert person_classes({0: "person", 1: thing}) == {0}


def test_what_people_do_counts_beside_a_name_for_people_only() -> None:
    assert person_classes({0: "person", 1: "tennis player", 2: "bride", 3: "chef"}) == {0, 1, 2, 3}
    assert person_classes({0: "surfer", 1: "surfboard"}) == frozenset()


def test_a_class_for_groups_counts_only_where_there_is_none_for_one() -> None:
    assert person_classes({0: "people", 1: "car"}) == {0}
    assert person_classes({0: "people", 1: "pedestrian"}) == {1}
