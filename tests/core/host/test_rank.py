"""The hosts of two processes that train together; `tests/cli/test_train.py` runs them under torchrun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskloss.core.host.rank import RankHost
from maskloss.core.train.ranks import Ranks


class Pair(Ranks):
    """One of two, whose other one is not there: what it would say to it is kept."""

    size = 2

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.said: list[str] = []

    def from_first(self, compute: Any) -> Any:
        self.said.append("from_first")
        return compute()

    def stop(self, problem: BaseException) -> None:
        self.said.append(f"stop: {problem}")


def test_the_first_calls_the_others_when_training_begins_and_only_once() -> None:
    ranks = Pair(0)
    host = RankHost(ranks)
    assert ranks.said == []
    assert host.ranks() is ranks
    assert host.ranks() is ranks
    assert ranks.said == ["from_first"]


def test_the_others_wait_before_and_not_at_the_training() -> None:
    ranks = Pair(1)
    host = RankHost(ranks)
    host.wait_for_first()
    assert host.ranks() is ranks
    assert ranks.said == ["from_first"]


def test_the_others_are_told_of_an_error_before_training_and_not_of_a_later_one() -> None:
    early, late, other = Pair(0), Pair(0), Pair(1)
    RankHost(early).stop_others(ValueError("no photograph"))
    assert early.said == ["stop: no photograph"]
    host = RankHost(late)
    host.ranks()
    host.stop_others(ValueError("no page"))
    assert late.said == ["from_first"]
    RankHost(other).stop_others(ValueError("anything"))
    assert other.said == []


def test_only_the_first_tells_and_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    quiet = RankHost(Pair(1), tmp_path, tmp_path)
    quiet.say("hello")
    quiet.warn("careful")
    quiet.progress().update(1, 1, "done")
    assert quiet.show([picture], "sample") == []
    assert capsys.readouterr().err == ""
    assert not (tmp_path / "previews").exists()
    loud = RankHost(Pair(0), tmp_path, tmp_path)
    loud.say("hello")
    loud.progress().update(1, 1, "done")
    assert len(loud.show([picture], "sample")) == 1
    assert "hello" in capsys.readouterr().err
