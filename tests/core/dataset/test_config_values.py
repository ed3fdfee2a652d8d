"""What fits a key of a dataset file."""

import math

import pytest
from maskloss.core.dataset.config_values import Kind, fits


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Kind.TEXT, ["", "a"], [1, None, ["a"]]),
        (Kind.SWITCH, [True, False], [0, 1, "true"]),
        (Kind.BOUND, [0, 5], [-1, 1.0, True, "1"]),
        (Kind.COUNT, [1, 5], [0, -1, 1.5, True]),
        (Kind.SIZE, [512, [960, 544]], [0, [960], [960, 544, 3], [960, 0], "512"]),
        (Kind.COUNTS, [[1], [1, 25]], [[], 1, [0], [1, "2"]]),
        (Kind.RATE, [16, 29.97], [0, -1, math.inf, math.nan, True, "16"]),
        (Kind.FRACTION, [0, 0.5], [1, -0.1, math.nan, True, "0.5"]),
        (Kind.MEANING, ["auto", "alpha"], ["grey", 1]),
        (Kind.EXTRACTION, ["head", "full"], ["tail", 1]),
    ],
)
def test_values_fit_their_kind_and_no_other(kind: Kind, good: list[object], bad: list[object]) -> None:
    assert all(fits(value, kind) for value in good)
    assert not any(fits(value, kind) for value in bad)


def test_every_kind_is_tried() -> None:
    assert len(Kind) == 10
