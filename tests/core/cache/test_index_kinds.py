"""The checks of an index's columns: every kind takes what it is for, and nothing else."""

from array import array
from dataclasses import fields

import pytest
from maskloss.core.cache.entries import CacheEntry, Source
from maskloss.core.cache.index_kinds import ENTRY_KINDS, SOURCE_KINDS


def test_every_column_has_a_kind_but_the_origin_which_is_an_enum() -> None:
    assert set(ENTRY_KINDS) == {field.name for field in fields(CacheEntry)} - {"origin"}
    own = {field.name for field in fields(Source)} - {"path"}
    assert set(SOURCE_KINDS) == own | {"folder", "file"}


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("name", ["a", ""], ["a", 1]),
        ("caption", ["a"], [None]),
        ("coverage", [0, 0.5], [float("nan")]),
        ("coverage", [1.0], ["1"]),
        ("repeats", [1, 2], [1, 0]),
        ("file_bytes", array("q", [0, 5]), array("q", [-1])),
        ("file_bytes", [0], [0.5]),
        ("image_size", [(4, 5)], [(4, 5, 6)]),
        ("bucket", [(4, 5), (0, 0)], [(4, -5)]),
        ("latent_shape", [(16, 1, 8, 8)], [[16, 1, 8, 8]]),
        ("control_indices", [(), (0, 5)], [(0, 0.5)]),
        ("target_index", [None, 3], [None, -1]),
        ("image_channels", [20], [True]),
    ],
)
def test_columns_of_entries(name: str, right: list[object], wrong: list[object]) -> None:
    assert ENTRY_KINDS[name](right)
    assert ENTRY_KINDS[name]([]), "a cache without entries has empty columns"
    assert not ENTRY_KINDS[name](wrong)


def test_times_may_lie_before_1970_and_sizes_are_never_negative() -> None:
    assert SOURCE_KINDS["mtime_ns"]([-5])
    assert not SOURCE_KINDS["mtime_ns"]([0.5])
    assert not SOURCE_KINDS["size"]([-5])
