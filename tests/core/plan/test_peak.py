"""The most memory that was taken."""

from __future__ import annotations

import sys

import pytest
import torch
from maskloss.core.plan.peak import PeakMemory

MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_what_was_taken_and_given_back_is_seen_until_it_is_forgotten():
    memory = PeakMemory(torch.device("cpu"))
    kept = torch.ones(64 * MIB, dtype=torch.uint8)
    for_a_while = torch.ones(256 * MIB, dtype=torch.uint8)
    assert int(for_a_while[-1]) == 1
    del for_a_while
    taken = memory.peak
    assert taken is not None
    assert taken > 310 * MIB
    memory.forget()
    taken = memory.peak
    assert taken is not None
    assert 60 * MIB < taken < 200 * MIB, "what is kept is still there"
    assert kept.nbytes == 64 * MIB
