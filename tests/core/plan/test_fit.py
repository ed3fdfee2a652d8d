"""What fits a device."""

from __future__ import annotations

import pytest
from maskloss.core.plan.counting import OUTSIDE
from maskloss.core.plan.fit import GIB, Device, Verdict, class_device, gib, needed_bytes, verdict
from maskloss.core.plan.trial import StepMemory


def memory(parameters: float, beside: float) -> StepMemory:
    return StepMemory(round(parameters * GIB), 0, 0, {OUTSIDE: round((parameters + beside) * GIB)})


@pytest.mark.parametrize(
    ("parameters", "beside", "device_gib", "expected"),
    [
        (10, 10, 24, Verdict.FITS),
        (20, 2, 24, Verdict.FITS),
        (20, 3, 24, Verdict.FETCHED),
        (26, 5, 24, Verdict.FETCHED),
        (26, 8, 24, Verdict.TOO_LARGE),
        (2, 7, 8, Verdict.TOO_LARGE),
    ],
)
def test_verdicts(parameters: float, beside: float, device_gib: int, expected: Verdict):
    assert verdict(memory(parameters, beside), class_device(device_gib)) is expected


def test_weights_that_are_held_are_not_fetched():
    assert verdict(memory(26, 5), class_device(24), held=True) is Verdict.TOO_LARGE
    assert verdict(memory(10, 10), class_device(24), held=True) is Verdict.FITS


def test_the_margin_is_as_stated_and_main_memory_has_none():
    assert needed_bytes(memory(10, 10)) == round(20 * GIB * 1.05) + 768 * 2**20
    here = Device(20 * GIB, main_memory=True)
    assert needed_bytes(memory(10, 10), here) == 20 * GIB
    assert verdict(memory(10, 10), here) is Verdict.FITS
    assert verdict(memory(18, 3), here) is Verdict.TOO_LARGE


def test_for_people():
    assert gib(1.25 * GIB) == "1.2 GiB"
