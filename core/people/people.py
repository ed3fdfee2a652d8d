"""Several people to be told apart: each with a name, words for captions, and weights of their own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from ..errors import SettingError
from .identity import Identity

TOGETHER = "together"
"""What an item of everyone together is called, in the place of a person's name."""

_AS_IN_MASK = -1
_FORBIDDEN = re.compile(r'[\\/:*?"<>|@~\x00-\x1f]')
_LONGEST_NAME = 60


@dataclass(frozen=True)
class OwnWeights:
    """What the tiers of one person count in training, 0 to 255; -1 leaves what the mask of everyone says."""

    face: int = _AS_IN_MASK
    hair: int = _AS_IN_MASK
    body: int = _AS_IN_MASK
    background: int = _AS_IN_MASK

    def __post_init__(self) -> None:
        for tier, value in self.set_or_not():
            if not -1 <= value <= 255:
                raise SettingError(f"{tier}_weight is {value}; it must be from 0 to 255, or -1 for that of the mask.")

    def set_or_not(self) -> tuple[tuple[str, int], ...]:
        """(tier, value) of all four."""
        return tuple((each.name, getattr(self, each.name)) for each in fields(self))

    @property
    def given(self) -> dict[str, int]:
        """The tiers that have a value of their own."""
        return {tier: value for tier, value in self.set_or_not() if value != _AS_IN_MASK}


@dataclass(frozen=True, eq=False)
class Person:
    """One of several. `identity` has their name. `trigger`: the word in captions that is to mean them; empty for their
    name. `class_noun`: what they are in one word, such as woman."""

    identity: Identity
    trigger: str = ""
    class_noun: str = "person"
    weights: OwnWeights = field(default_factory=OwnWeights)

    def __post_init__(self) -> None:
        check_person_name(self.identity.name)

    @property
    def name(self) -> str:
        """What the person is called, in the names of items and files too."""
        return self.identity.name

    @property
    def word(self) -> str:
        """The trigger, or the name in its place."""
        return self.trigger.strip() or self.name


def add_person(people: Sequence[Person], person: Person) -> tuple[Person, ...]:
    """The people with one more. SettingError where two have one name or trigger, or were read by two recognisers."""
    for other in people:
        if other.name.casefold() == person.name.casefold():
            raise SettingError(f"Two people are called {person.name}; give each a name of their own.")
        if other.word.casefold() == person.word.casefold():
            raise SettingError(
                f"{other.name} and {person.name} have the same trigger {person.word!r}; give each one of their own."
            )
        if other.identity.recognizer != person.identity.recognizer:
            raise SettingError(
                f"The faces of {other.name} were read by {other.identity.recognizer}, but those of {person.name} by "
                f"{person.identity.recognizer}: use the same face recognizer for all."
            )
    return (*people, person)


def check_person_name(name: str) -> None:
    """SettingError for a name that cannot be part of a file's."""
    if not name.strip():
        raise SettingError("A person has no name; give one, which the names of files and items will have.")
    if name != name.strip(" .") or len(name) > _LONGEST_NAME or _FORBIDDEN.search(name):
        raise SettingError(
            f"The name {name!r} cannot be part of a file's: leave out \\ / : * ? \" < > | @ ~, spaces and dots at its "
            f"ends, and what is longer than {_LONGEST_NAME} letters."
        )
    if name.casefold() == TOGETHER:
        raise SettingError(f"A person cannot be called {TOGETHER}, as the items of everyone are; give another name.")
