"""A packed column is the list that it was built from, type for type, whatever comes after what."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Sequence
from typing import Any

import maskloss.core.cache.packed_columns as module
import pytest
from maskloss.core.cache.packed_columns import ColumnBuilder, Cycle, Digests, Numbered, Texts, packed

KINDS: dict[str, Callable[[random.Random], Any]] = {
    "digests": lambda draw: f"{draw.getrandbits(256):064x}",
    "texts": lambda draw: "".join(draw.choices(("a", "ä", "漢", "𝄞", "\udcff", "", '"', "\n"), k=draw.randrange(9))),
    "wide texts": lambda draw: draw.choice(("A" * 64, "ä" * 64, "0" * 63)),
    "numbers": lambda draw: draw.choice((0, -1, 2**63 - 1, -(2**63), draw.randrange(99))),
    "huge": lambda draw: 2**63 + draw.randrange(9),
    "floats": lambda draw: draw.random(),
    "truths": lambda draw: draw.random() < 0.5,
    "none": lambda draw: None,
    "tuples": lambda draw: (draw.randrange(9), draw.randrange(9)),
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_VALUES", 8)
    monkeypatch.setattr(module, "_MOST_NUMBERED", 30)
    monkeypatch.setattr(module, "_ROWS", 3)


def exactly(values: Sequence[Any]) -> list[tuple[type, Any]]:
    return [(type(value), value) for value in values]


def assert_is(column: Sequence[Any], values: list[Any]) -> None:
    assert exactly(list(column)) == exactly(values)
    assert len(column) == len(values)
    assert exactly([column[row] for row in range(len(values))]) == exactly(values)
    assert exactly([column[-row - 1] for row in range(len(values))]) == exactly(values[::-1])
    assert exactly(list(column[1:7:2])) == exactly(values[1:7:2])
    with pytest.raises(IndexError):
        column[len(values)]


@pytest.mark.parametrize("repeats", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_it_is_the_list(repeats: bool, seed: int) -> None:
    draw = random.Random(seed)
    builder, everything = ColumnBuilder(repeats), []
    kinds = draw.sample(sorted(KINDS), draw.choice((1, 1, 2, 3)))
    for _ in range(draw.randrange(12)):
        kind = KINDS[draw.choice(kinds)]
        pool = [kind(draw) for _ in range(draw.choice((1, 3, 40)))]
        values = draw.choices(pool, k=draw.randrange(20))
        builder.extend(list(values))
        everything += values
    assert_is(builder.built(), everything)


@pytest.mark.parametrize(
    ("kind", "column"),
    [("digests", Digests), ("texts", Texts), ("numbers", array), ("floats", array), ("tuples", list), ("huge", list)],
)
def test_each_kind_has_a_column_of_its_own(kind: str, column: type) -> None:
    values = [KINDS[kind](random.Random(seed)) for seed in range(20)]
    found = packed(values)
    assert isinstance(found, column)
    assert_is(found, values)


@pytest.mark.parametrize(("count", "times", "expected"), [(100, 20, Numbered), (100, 5, Numbered), (100, 1, Texts),
                                                          (300, 5, Texts)])  # fmt: skip
def test_what_repeats_is_kept_once_and_what_does_not_or_is_much_is_packed(
    count: int, times: int, expected: type
) -> None:
    builder, values = ColumnBuilder(repeats=True), [f"text {number // times}" for number in range(count)]
    for start in range(0, count, 10):
        builder.extend(values[start : start + 10])
    assert isinstance(builder.built(), expected)
    assert_is(builder.built(), values)


def test_columns_that_cannot_be_are_refused() -> None:
    for rows in ([0, 2], [-1], [0.5]):
        with pytest.raises((ValueError, OverflowError)):
            Numbered(["a", "b"], packed(rows))
    with pytest.raises(ValueError, match="has no values"):
        Cycle([], 3)
    for text in (b"0" * 63, b"0" * 62, b"A" * 64, b"g" * 64, "ä".encode() * 32):
        with pytest.raises(ValueError, match=r"."):
            Digests().extend_joined(text)
    assert_is(Cycle("ab", 5), list("ababa"))
    assert_is(Numbered(["a", "b"], packed([1, 0, 1])), list("bab"))
