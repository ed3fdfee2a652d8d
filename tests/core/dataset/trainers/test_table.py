"""Settings are taken one after the other, and what is left over is refused."""

from pathlib import Path

import pytest
from maskloss.core.dataset.trainers.table import Table
from maskloss.core.errors import DatasetError
from maskloss.core.paths import Folders


@pytest.fixture
def table(tmp_path: Path):
    folders = Folders(tmp_path / "input", tmp_path / "output")
    return lambda values: Table(values, "part", tmp_path / "input/set.json", folders)


def test_values_are_of_their_kind(table) -> None:
    given = table({"n": 2.0, "x": 0.5, "t": "a", "s": True, "nothing": None, "below": {"k": 1}})
    assert (given.count("n", 1), given.number("x", 1.0), given.text("t"), given.switch("s")) == (2, 0.5, "a", True)
    assert given.text("nothing", "default") == "default"
    assert given.below("below").rest() == {"k": 1}
    given.close()
    with pytest.raises(DatasetError, match=r"part of .* has n = 'two'; it must be a whole number above 0"):
        table({"n": "two"}).count("n", 1)
    with pytest.raises(DatasetError, match="has x = True; it must be a number"):
        table({"x": True}).number("x", 1.0)
    with pytest.raises(DatasetError, match="is no table of settings, but 3"):
        table(3)


def test_what_acts_and_nobody_took_is_refused_and_what_is_off_is_not(table) -> None:
    table({"a": False, "b": 0, "c": "", "d": None, "e": []}).close()
    assert table({"a": 1, "b": 0}).leave({"a": "why", "b": "why"}) == ["set.json sets a: why."]
    with pytest.raises(DatasetError, match="has a = 1, which is not done here: why"):
        table({"a": 1}).refuse({"a": "why"})
    with pytest.raises(DatasetError, match="has z = 'x', which is not done here: it is not known"):
        table({"z": "x"}).close()
