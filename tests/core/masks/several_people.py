"""keep_people on scenes of people who are blocks of one colour."""

from dataclasses import replace
from pathlib import Path

from maskloss.core.dataset.items import Dataset, DatasetItem
from maskloss.core.masks.each_item import ItemWork
from maskloss.core.masks.keep_people import PeopleRules, keep_people
from maskloss.core.masks.keep_person import PersonOutput
from maskloss.core.masks.person_search import PersonSearch
from maskloss.core.people.decision import MatchRules, OnNoMatch
from maskloss.core.people.people import Person, add_person

from .colour_people import BLUE, GREEN, ColourRecognizer, ColumnSegmenter
from .one_person import identity_of

SKIP = MatchRules(on_no_match=OnNoMatch.SKIP)


def person(name: str, colour: tuple[int, int, int], **more) -> Person:
    return Person(replace(identity_of(colour), name=name), **more)


GRETA, BLUMA = person("greta", GREEN, trigger="gr3t4"), person("bluma", BLUE)


class People:
    """keep_people with what most tests share."""

    def __init__(self, tmp_path: Path) -> None:
        self.out = tmp_path / "out"
        self.recognizer, self.segmenter = ColourRecognizer(), ColumnSegmenter()

    def __call__(self, *items: DatasetItem, people=(GRETA, BLUMA), rules=SKIP, **options) -> tuple[Dataset, dict]:
        listed: tuple[Person, ...] = ()
        for each in people:
            listed = add_person(listed, each)
        identities = tuple(each.identity for each in listed)
        search = PersonSearch(self.recognizer, identities, self.segmenter, rules, options.pop("choices", {}))
        work = {key: options.pop(key) for key in ("video_every", "workers", "progress") if key in options}
        asked = {key: options.pop(key) for key in ("caption_template", "together", "others_weight") if key in options}
        dataset = Dataset(items, options.pop("left_out", ()))
        output = PersonOutput(self.out, **options)
        return keep_people(dataset, listed, search, output, PeopleRules(**asked), ItemWork(**work))
