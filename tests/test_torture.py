"""The bounded version of `python -m benchmarks.torture`: some hundreds of random inputs, of every kind some."""

from __future__ import annotations

from collections import Counter

from benchmarks.torture import CRASHED, FINE, LOST, SHARES, faults, run

INPUTS = 300
SEED = 7


def test_no_random_input_crashes_us_or_loses_anything() -> None:
    results = run(INPUTS, SEED, processes=1)
    assert {one.kind for one in results} == set(SHARES)
    assert not any(one.outcome in (CRASHED, LOST) for one in results), faults(results, SEED)
    assert Counter(one.outcome for one in results)[FINE] > INPUTS / 4, "what is whole is used"
