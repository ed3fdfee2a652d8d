"""Which classes of a detector are one human being each: its own names decide."""

from __future__ import annotations

from collections.abc import Mapping

_PERSON = """
person human pedestrian man woman boy girl child kid baby toddler infant newborn teenager adult lady gentleman guy male
female
"""
_NO_PERSON = frozenset({"no", "non", "not", "gingerbread", "snow", "stick", "straw", "tin", "toy"})

# What a net with thousands of names (prompt-free YOLOE) may call a person by what they do. Left out is what is a thing
# as well: model, driver, boxer, trainer, walker, cook, king, record player.
_ROLES = """
actor actress artist astronaut athlete ballerina bartender bride bridesmaid businessman businesswoman cashier celebrity
cheerleader chef climber clown cowboy customer cyclist dancer daughter dentist diver doctor farmer father fireman
firefighter fisherman gardener geisha golfer goalkeeper groom guitarist gymnast hiker husband janitor jockey judge
lawyer lifeguard mechanic monk mother musician nun nurse officer painter passenger photographer pianist pilot policeman
policewoman politician president priest princess referee rider runner sailor samurai scientist singer skateboarder
skater skier snowboarder soldier student surfer swimmer teacher tourist violinist waiter waitress welder wife worker
wrestler
"""
_GAMES = ("badminton", "baseball", "basketball", "cricket", "football", "golf", "hockey", "rugby", "soccer", "tennis")

_ONE = frozenset(_PERSON.split())
_ACTIVE = frozenset(_ROLES.split()) | {f"{game} player" for game in _GAMES}
_SEVERAL = frozenset({"people", "persons", "humans", "human body"})


def person_classes(names: Mapping[int, str]) -> frozenset[int]:
    """The numbers of the classes that stand for one person each; empty when none does.

    Case does not count, and of a name in several words the last decides (`sitting person`). Where a net names people at
    all, those that it names by what they do count too. A class such as `people` may be a whole group: it counts only in
    nets that have no name for one person.
    """
    words = {index: name.lower().replace("_", " ").replace("-", " ").split() for index, name in names.items()}
    people = {
        index for index, name in words.items() if name and name[-1] in _ONE and not _NO_PERSON.intersection(name[:-1])
    }
    wanted = _ACTIVE if people else _SEVERAL
    return frozenset(people | {index for index, name in words.items() if " ".join(name) in wanted})
