"""Many equal blocks from few."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from maskloss.core.plan.counting import OUTSIDE
from maskloss.core.plan.extrapolate import extrapolate_step
from maskloss.core.plan.trial import StepMemory

FORWARD, BACKWARD = ("forward", 0, 2), ("backward", 0, 0)


def step(lengths: Sequence[int]) -> StepMemory:
    """A made-up network in which each run's blocks add other bytes at each place."""
    first, second = lengths
    peaks = {OUTSIDE: 50, FORWARD: 20 + 7 * first + second, BACKWARD: 60 + first + 9 * second}
    return StepMemory(10 + 5 * first + 3 * second, 2 * first, first + second, peaks, 100 + 11 * first + 13 * second)


@pytest.mark.parametrize("lengths", [(3, 3), (40, 3), (19, 38), (12, 12), (2, 30)])
def test_it_is_what_counting_all_blocks_gives(lengths: tuple[int, int]):
    asked: list[int] = []

    def count(short: Sequence[int]) -> StepMemory:
        asked.append(sum(short))
        return step(short)

    assert extrapolate_step(lengths, count) == step(lengths)
    assert max(asked) <= 8


def test_another_place_may_hold_the_peak_than_in_the_short_network():
    assert step((3, 3)).peaks[BACKWARD] == step((3, 3)).peak
    assert extrapolate_step((100, 3), step).peaks[FORWARD] == extrapolate_step((100, 3), step).peak
