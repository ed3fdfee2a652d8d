"""Several people of one dataset: each photograph becomes one item per recognised person, who alone has weight there.

It fails closed: a face that could be two people's is nobody's, and two people never have one face.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..dataset.corrected import LEFT_OUT_BY_HAND
from ..dataset.crops import refuse_crops
from ..dataset.items import Dataset, DatasetItem, LeftOut, person_item_name
from ..dataset.person_captions import CaptionTemplate, own_caption
from ..dataset.shard import is_shard
from ..errors import DatasetError, PersonError, SettingError
from ..people.decision import OnNoMatch
from ..people.people import TOGETHER, Person
from ..warning import warn
from .balance import balance_repeats
from .build_masks import STEP as BUILD_STEP
from .each_item import DEFAULT_WORK, ItemWork
from .keep_person import PersonOutput, keep_each, keeping_warnings
from .keeping_unit import Several, with_mask
from .ledger import target_for
from .part_values import KnownTiers
from .person_report import ABSENT, LEFT_OUT, PersonRow, people_counts, person_report
from .person_search import PersonSearch

STEP = "Keep People"


@dataclass(frozen=True)
class PeopleRules:
    """`caption_template` makes each person's captions. `together`: which fraction of an epoch the items with everyone
    of a photograph make up, 0 for none. `others_weight`: how much of their weight the others keep in a person's item,
    255 all."""

    caption_template: str = "{trigger}, {caption}"
    together: float = 0.0
    others_weight: int = 0

    def __post_init__(self) -> None:
        CaptionTemplate(self.caption_template)
        balance_repeats({}, (), self.together)
        if not 0 <= self.others_weight <= 255:
            raise SettingError(f"others_weight is {self.others_weight}; it must be from 0 to 255.")


def keep_people(
    dataset: Dataset,
    people: Sequence[Person],
    search: PersonSearch,
    output: PersonOutput,
    rules: PeopleRules,
    work: ItemWork = DEFAULT_WORK,
) -> tuple[Dataset, dict[str, Any]]:
    """Write the weights of each person of each photograph and video, `<name>@<person>.png` or `.mkv`.

    `search` looks for the identities of `people`. A person who is not in a photograph has no item of it; one who cannot
    be told is handled as `on_no_match` says; a photograph with nobody is left out, or with `error` an error. With
    `together` photographs with several have one further item, `<name>@together`. Repeats are set so that each person
    comes equally often. What was decided about a person's item by hand goes with it: a correction lies over its mask,
    and is in that of all together.

    Returns the dataset, and the report as that of `keep_person` with "people": [as `people_counts` says].
    """
    refuse_crops(dataset, STEP)
    _check(dataset, people, search)
    known = KnownTiers(BUILD_STEP)
    tiers = {item.name: known.of(item) for item in dataset.items}
    several = Several(tuple(people), tiers, rules.others_weight, rules.together > 0)
    found = [
        [_by_hand(item, row) for row in rows]
        for item, rows in zip(dataset.items, keep_each(dataset, search, output, work, several), strict=True)
    ]
    items: list[DatasetItem] = []
    left_out: list[LeftOut] = []
    for item, rows in zip(dataset.items, found, strict=True):
        own = list(_items_of(item, rows, several, output, CaptionTemplate(rules.caption_template)))
        items += own
        left = [row for row in rows if row.state == LEFT_OUT]
        left_out += [LeftOut(_called(item, row), row.reason) for row in left]
        if not own and not left:
            reason = _nobody(rows)
            if search.rules.on_no_match is OnNoMatch.ERROR:
                raise PersonError(f"{item.name}: {reason} Leave the photograph out, or set on_no_match to skip.")
            left_out.append(LeftOut(item, reason))
    rows = [row for each in found for row in each if row.state != ABSENT]
    items = _balanced(items, rules.together)
    counts = people_counts([person.name for person in people], [row for each in found for row in each], items)
    warnings = keeping_warnings(dataset, output, rows)
    warnings += [warn(_never(each)) for each in counts if not each["items"]]
    if is_shard(dataset):
        warnings.append(
            warn(
                "Each shard balances its own photographs, so in the joined cache people may come unequally often; keep "
                "the people of the whole dataset on one machine where that matters."
            )
        )
    report = {**person_report(rows), "people": counts, "warnings": warnings}
    return Dataset(tuple(items), dataset.left_out + tuple(left_out), dataset.found), report


def _check(dataset: Dataset, people: Sequence[Person], search: PersonSearch) -> None:
    if not people:
        raise SettingError(
            "The list of people is empty; connect People (one for each), or give the names in Find People."
        )
    if [person.identity for person in people] != list(search.identities):
        raise SettingError(
            "The people and the identities that are looked for are not the same; give both in one order."
        )
    if search.rules.on_no_match is OnNoMatch.LARGEST:
        raise SettingError(
            "on_no_match is largest, and of several people nobody knows whose the largest face is; choose skip, empty "
            "or error."
        )
    again = [item.name for item in dataset.items if item.subject]
    if again:
        raise DatasetError(
            f"{again[0]} is one person's item already; give {STEP} the dataset from before the people were told apart."
        )


def _called(item: DatasetItem, row: PersonRow) -> DatasetItem:
    """One person's item of a photograph, or that of all together, with nothing but its name and what was decided. What
    was painted over the photograph is in its mask already, what was painted over the item is not."""
    subject = _subject(row)
    name = person_item_name(item.name, subject)
    painted = item.by_hand(subject).correction_path
    return replace(item, name=name, subject=subject, person=row.decision, correction_path=painted, people_by_hand=())


def _subject(row: PersonRow) -> str:
    return TOGETHER if row.together else row.people[0]


def _by_hand(item: DatasetItem, row: PersonRow) -> PersonRow:
    """The row as somebody decided, where its item was left out by hand."""
    if row.state == ABSENT or not item.by_hand(_subject(row)).left_out:
        return row
    return replace(row, state=LEFT_OUT, reason=LEFT_OUT_BY_HAND)


def _items_of(
    item: DatasetItem, rows: Sequence[PersonRow], several: Several, output: PersonOutput, template: CaptionTemplate
) -> Iterator[DatasetItem]:
    by_name = {person.name: person for person in several.people}
    for row in rows:
        if row.state in (LEFT_OUT, ABSENT):
            continue
        called = _called(item, row)
        who = [by_name[name] for name in row.people]
        own = own_caption(item, called.subject)
        caption, path = own if own is not None else (_caption(template, item.caption, who), None)
        called = replace(called, caption=caption, caption_path=path)
        yield with_mask(called, target_for(called, output.directory), row.decision, row.state == "kept")


def _caption(template: CaptionTemplate, caption: str, who: Sequence[Person]) -> str:
    words, nouns, names = zip(*((each.word, each.class_noun.strip(), each.name) for each in who), strict=True)
    return template.fill(caption, words, nouns, names)


def _balanced(items: Sequence[DatasetItem], share: float) -> list[DatasetItem]:
    """The items with repeats by which each person counts alike; regularisation images have their own share."""
    own: dict[str, list[DatasetItem]] = {}
    for item in items:
        if not item.regularisation:
            own.setdefault(item.subject, []).append(item)
    together = own.pop(TOGETHER, [])
    repeats, joint = balance_repeats(
        {name: [item.repeats for item in some] for name, some in own.items()},
        [item.repeats for item in together],
        share,
    )
    new = {item.name: times for item, times in zip(together, joint, strict=True)}
    for name, some in own.items():
        new.update({item.name: times for item, times in zip(some, repeats[name], strict=True)})
    return [replace(item, repeats=new.get(item.name, item.repeats)) for item in items]


def _nobody(rows: Sequence[PersonRow]) -> str:
    alike = [
        (face.similarity, row.people[0])
        for row in rows
        for face in (row.decision.faces if row.decision is not None else ())
        if face.similarity is not None and row.people
    ]
    found = "no face was found" if not alike else f"the most alike is like {max(alike)[1]} with {max(alike)[0]:.2f}"
    return f"Nobody of the list is in this picture: {found}."


def _never(counts: dict[str, Any]) -> str:
    return (
        f"{counts['name']} was recognised in none of the photographs and videos, so nothing of {counts['name']} is "
        "learnt. Look at the reference faces; give more or better ones, or lower min_similarity."
    )
