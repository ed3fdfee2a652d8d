"""One mask that Keep Person or Keep People makes of an item, of one person or of several together: what it is made
from, and what of it is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..dataset.files import hash_of
from ..dataset.items import DatasetItem, person_item_name
from ..dataset.mask_facts import mask_digest
from ..fingerprints import fingerprint_of
from ..mask_meaning import MaskMeaning
from ..people.decision import PersonDecision
from ..people.people import TOGETHER, Person
from .ledger import FileState, Ledger, target_for
from .part_values import Tiers
from .person_search import InstanceMasks, PersonSearch

STEP = "KeepPerson"
_OWN_HAIR = 1  # raise when other hair could be taken for the person's


def with_mask(item: DatasetItem, target: Path, decision: PersonDecision | None, by_hand: bool = False) -> DatasetItem:
    """The item with the mask of the one person; the mask of everyone stays known as its tiers. `by_hand`: somebody else
    wrote or changed the file, so that it may be of any kind."""
    return replace(
        item,
        mask_path=target,
        mask_meaning=MaskMeaning.AUTO if by_hand else MaskMeaning.BRIGHTNESS,
        tiers_path=item.mask_path,
        tiers_meaning=item.mask_meaning,
        person=decision,
        settings=replace(item.settings, alpha_mask=False),
    )


@dataclass(frozen=True)
class Several:
    """Several people, of whom each has an item of their own. `tiers`: which values these have in the mask of everyone,
    by the item's name. `others_weight`: how much of their weight the others keep in it, 255 all. `together`: whether
    there is an item of all of them too."""

    people: tuple[Person, ...]
    tiers: Mapping[str, Tiers | None]
    others_weight: int = 0
    together: bool = False


@dataclass(frozen=True, eq=False)
class Shared:
    """What the work on every item shares. `margins_px`: how far the mask grows, and over how much it then fades.
    `hair_values`: what is known of masks that tell hair, by the item's name. `several` is None where the one person's
    items keep their names."""

    search: PersonSearch
    ledger: Ledger
    instances: InstanceMasks
    directory: Path
    margins_px: tuple[int, int]
    overwrite: bool
    video_every: int
    workers: int
    hair_values: Mapping[str, tuple[int, ...]]
    several: Several | None = None

    def names(self, item: DatasetItem) -> list[str]:
        """What the item of each person is called."""
        if self.several is None:
            return [item.name]
        return [person_item_name(item.name, person.name) for person in self.several.people]

    def hair_of(self, item: DatasetItem) -> tuple[int, ...] | None:
        """What is known of an item's mask that tells hair."""
        return self.hair_values.get(item.name)


@dataclass(frozen=True, eq=False)
class Unit:
    """`item` is called what the result will be; `person` is the number of theirs, None for everyone together. `sought`:
    the fingerprint of what the person is sought by. `given`: the person's mask that somebody put there."""

    item: DatasetItem
    person: int | None
    target: Path
    sought: str
    given: Path | None
    fingerprint: str
    without_hair: str
    state: FileState
    by_hand: bool

    @property
    def name(self) -> str:
        """What its item is called."""
        return self.item.name

    def is_done(self, instances: InstanceMasks) -> bool:
        """Whether nothing is to be made."""
        no_instance = self.given is not None or self.person is None
        return self.state is FileState.UNCHANGED and (no_instance or instances.is_current(self.item, self.sought))


def units_of(item: DatasetItem, shared: Shared, *also: object) -> list[Unit]:
    """The masks that are to be there of an item. `also` are settings that they depend on. Errors as `find_given`."""
    media = hash_of(item.media_path)
    names = shared.names(item)
    items = [replace(item, name=name) for name in names]
    sought = [shared.search.fingerprint(item, names, person, media) for person in range(len(names))]
    sought = [fingerprint_of(each, *also) if also else each for each in sought]
    given = [shared.instances.find_given(each, key) for each, key in zip(items, sought, strict=True)]
    units = [_unit(shared, each, person, media, sought, given) for person, each in enumerate(items)]
    if shared.several is not None and shared.several.together:
        everyone = replace(item, name=person_item_name(item.name, TOGETHER))
        units.append(_unit(shared, everyone, None, media, sought, given))
    return units


def _unit(
    shared: Shared,
    item: DatasetItem,
    person: int | None,
    media: str,
    sought: Sequence[str],
    given: Sequence[Path | None],
) -> Unit:
    target = target_for(item, shared.directory)
    own = None if person is None else given[person]
    key = fingerprint_of("together", *sought) if person is None else sought[person]
    made_from = (
        STEP, mask_digest(item, own, item.settings.mask_meaning) or key, media,
        item.settings.alpha_mask, mask_digest(item, item.mask_path, item.mask_meaning), shared.margins_px,
        *_of_several(shared, item, given, person is None),
    )  # fmt: skip
    hair = shared.hair_values.get(item.name if shared.several is None else item.name.rpartition("@")[0])
    hair = hair if own is None else None
    without_hair = fingerprint_of(*made_from)
    fingerprint = fingerprint_of(*made_from, _OWN_HAIR, hair) if hair else without_hair
    state = shared.ledger.state(item.name, target, fingerprint)
    by_hand = state in (FileState.EDITED, FileState.FOREIGN) and not shared.overwrite
    return Unit(item, person, target, key, own, fingerprint, without_hair, state, by_hand)


def _of_several(shared: Shared, item: DatasetItem, given: Sequence[Path | None], together: bool) -> tuple[object, ...]:
    """What the mask of one of several depends on besides: everyone's weights, the others' masks, what was painted."""
    several = shared.several
    if several is None:
        return ()
    # What was painted over one person's item lies over that item's mask, and is cut into that of all together.
    painted = () if not together else tuple(
        (person.name, hash_of(path)) for person in several.people
        if (path := item.by_hand(person.name).correction_path) is not None
    )  # fmt: skip
    return (
        "of several", several.others_weight, repr(several.tiers.get(item.name.rpartition("@")[0])),
        *(repr(person.weights) for person in several.people),
        *(mask_digest(item, path, item.settings.mask_meaning) for path in given),
        "" if item.correction_path is None else hash_of(item.correction_path), *painted,
    )  # fmt: skip
