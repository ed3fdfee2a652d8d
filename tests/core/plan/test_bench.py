"""Timed steps."""

from __future__ import annotations

import torch
from maskloss.core.plan.bench import WARM_UP, Timed, time_steps
from maskloss.core.plan.peak import PeakMemory


def test_the_first_steps_do_not_count():
    device, made, told = torch.device("cpu"), list[int](), list[int]()

    class Watched:
        def update(self, done: int, total: int, text: str = "", preview_HWC: object = None) -> None:
            told.append(done)

    timed = time_steps(lambda: made.append(1), 5, device, PeakMemory(device), Watched())
    assert len(made) == 5 + WARM_UP
    assert len(timed.seconds) == 5
    assert min(timed.seconds) >= 0
    assert told == list(range(1, 6 + WARM_UP))


def test_the_median_and_how_far_they_lie_apart():
    timed = Timed((1.0, 1.0, 4.0), None)
    assert (timed.median, round(timed.spread, 3)) == (1.0, 1.414)
