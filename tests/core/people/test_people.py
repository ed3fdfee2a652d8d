"""A list of people: names that fit into files', each once, and weights in range."""

from dataclasses import replace

import pytest
from maskloss.core.errors import SettingError
from maskloss.core.people.people import OwnWeights, Person, add_person

from .plain_people import identity

SOMEBODY = identity((0.0, 1.0))


def person(name: str, trigger: str = "") -> Person:
    return Person(replace(SOMEBODY, name=name), trigger)


def test_the_trigger_is_the_name_where_none_is_given() -> None:
    assert (person("anna").word, person("anna", " ohwx ").word) == ("anna", "ohwx")


@pytest.mark.parametrize("name", ["", "  ", "a/b", "a@b", "a~b", "x" * 61, "anna.", "Together", "a\nb"])
def test_names_that_cannot_be_part_of_a_files_are_refused(name: str) -> None:
    with pytest.raises(SettingError):
        person(name)
    assert person("Änne Müller-Lüdenscheid 2").name


def test_names_and_triggers_are_each_ones_own() -> None:
    people = add_person((), person("anna", "ohwx"))
    with pytest.raises(SettingError, match="Two people are called ANNA"):
        add_person(people, person("ANNA"))
    with pytest.raises(SettingError, match="have the same trigger 'OHWX'"):
        add_person(people, person("berta", "OHWX"))
    other = Person(replace(SOMEBODY, name="carla", recognizer="another/1"))
    with pytest.raises(SettingError, match="use the same face recognizer for all"):
        add_person(people, other)


def test_weights_of_ones_own() -> None:
    assert OwnWeights().given == {}
    assert OwnWeights(face=0, body=7).given == {"face": 0, "body": 7}
    with pytest.raises(SettingError, match="hair_weight is 256"):
        OwnWeights(hair=256)
