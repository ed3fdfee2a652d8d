"""What a person's mask is made from, and what of it is there: named by the photograph, or by photograph and person."""

from collections.abc import Callable
from pathlib import Path

import pytest
from maskloss.core.dataset.items import DatasetItem
from maskloss.core.masks.keeping_unit import Several, Shared, units_of
from maskloss.core.masks.ledger import FileState, open_ledger
from maskloss.core.masks.person_search import PersonSearch, open_instances
from maskloss.core.people.decision import MatchRules
from maskloss.core.people.people import OwnWeights

from .colour_people import ColourRecognizer, ColumnSegmenter
from .several_people import BLUMA, GRETA, person

Shares = Callable[..., Shared]
OWN = OwnWeights(face=9)


@pytest.fixture
def shares(tmp_path: Path, group: DatasetItem) -> Shares:
    def make(people=(GRETA, BLUMA), several: bool = True, **more) -> Shared:
        identities = tuple(each.identity for each in people)
        search = PersonSearch(ColourRecognizer(), identities, ColumnSegmenter(), MatchRules())
        out = tmp_path / "out"
        with open_ledger(out, "KeepPerson") as ledger, open_instances(None, [group], True) as instances:
            kept = Several(tuple(people), {}, **more) if several else None
            return Shared(search, ledger, instances, out, (0, 0), False, 4, 1, {}, kept)

    return make


def test_one_persons_mask_is_called_as_the_photograph(group: DatasetItem, shares: Shares) -> None:
    (unit,) = units_of(group, shares(people=(GRETA,), several=False))
    assert (unit.name, unit.person, unit.state) == ("group", 0, FileState.ABSENT)
    assert unit.target.name == "group.png"


def test_each_of_several_has_their_own_and_all_together_one(group: DatasetItem, shares: Shares) -> None:
    units = units_of(group, shares(together=True))
    assert [unit.name for unit in units] == ["group@greta", "group@bluma", "group@together"]
    assert [unit.person for unit in units] == [0, 1, None]
    assert len({unit.fingerprint for unit in units}) == 3


@pytest.mark.parametrize("change", ["others", "weights", "others_weight", "also"])
def test_a_mask_depends_on_everyone_looked_for(group: DatasetItem, shares: Shares, change: str) -> None:
    before = units_of(group, shares())[0].fingerprint
    assert units_of(group, shares())[0].fingerprint == before
    rosa = person("bluma", (250, 10, 10))
    changed = {
        "others": lambda: units_of(group, shares(people=(GRETA, rosa))),
        "weights": lambda: units_of(group, shares(people=(person("greta", (10, 250, 10), weights=OWN), BLUMA))),
        "others_weight": lambda: units_of(group, shares(others_weight=9)),
        "also": lambda: units_of(group, shares(), "something"),
    }[change]()
    assert changed[0].fingerprint != before
