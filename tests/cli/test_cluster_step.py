"""What a step of a cluster has to do: pieces are chosen for those who know them, failures are counted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from maskloss.cli.cluster_step import Step
from maskloss.core.errors import DatasetError
from maskloss.core.spread import Piece


def step_of(names: str, problem: str = "") -> Step:
    return Step(1, str, iter([Piece((name,), name, problem) for name in names]))


def test_a_worker_gets_what_it_knows_then_what_nobody_knows_then_the_rest() -> None:
    step = step_of("abcd")
    step.fill(1)
    knows = {"a": 1, "c": 0, "d": 1}
    assert [step.choose(0, knows).piece.content for _ in range(4)] == ["c", "b", "a", "d"]


def test_pieces_are_taken_as_there_is_room() -> None:
    taken: list[int] = []

    def pieces() -> Iterator[Piece[int]]:
        for number in range(1000):
            taken.append(number)
            yield Piece((str(number),), number)

    step = Step(1, str, pieces())
    step.fill(2)
    assert len(taken) == len(step.window) == 8
    step.choose(0, {})
    step.fill(2)
    assert len(taken) == 9


def test_pieces_with_a_problem_fail_and_too_many_end_the_work() -> None:
    step = step_of("abc", "it is damaged")
    step.fill(2)
    assert not step.window
    assert step.failed == dict.fromkeys("abc", "it is damaged")
    with pytest.raises(DatasetError, match=r"The first 20 items all failed, so no more are tried\. a: it is damaged"):
        step_of("abcdefghijklmnopqrstuvwxyz", "it is damaged").fill(20)
    step = step_of("abcdefghijklmnopqrstuvwxyz", "it is damaged")
    step.done = 1
    step.fill(20)
    assert len(step.failed) == 26
