"""The time that is left."""

from __future__ import annotations

import random

import pytest
from maskloss.core.plan.duration import LEAST_STEPS, StepTimes, TimeLeft, duration


def times(seconds: list[float]) -> StepTimes:
    made, now = StepTimes(), 100.0
    made.step(now)
    for each in seconds:
        now += each
        made.step(now)
    return made


def test_it_is_known_after_ten_steps_and_the_first_one():
    assert times([2.0] * (LEAST_STEPS - 1)).left(50) is None
    assert times([2.0] * LEAST_STEPS).left(50) == TimeLeft(100.0, 100.0, 100.0)
    assert times([2.0] * LEAST_STEPS).left(0) is None


def test_nineteen_of_twenty_runs_end_within_the_spread():
    draw = random.Random(0)
    inside = 0
    for _ in range(400):
        seconds = [draw.uniform(1, 3) for _ in range(20 + 100)]
        left = times(seconds[:20]).left(100)
        assert left is not None
        inside += left.least <= sum(seconds[20:]) <= left.most
    assert 0.92 <= inside / 400 <= 0.98


def test_more_steps_make_it_surer():
    few, many = times([1.0, 3.0] * 5).left(100), times([1.0, 3.0] * 50).left(100)
    assert few is not None
    assert many is not None
    assert few.seconds == pytest.approx(many.seconds)
    assert many.most < few.most


def test_old_steps_are_forgotten():
    left = times([100.0] * 20 + [1.0] * 200).left(10)
    assert left == TimeLeft(10.0, 10.0, 10.0)


def test_in_words():
    assert TimeLeft(720, 600, 900).words == "12 min left (10 min to 15 min)"
    assert TimeLeft(720, 719, 721).words == "12 min left"
    assert [duration(each) for each in (3.4, 99, 100, 5900, 7200)] == ["3 s", "99 s", "2 min", "98 min", "2.0 h"]
