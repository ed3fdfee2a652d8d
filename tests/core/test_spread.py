"""Failures of items are collected where others go on, and stop the work where nobody does."""

from __future__ import annotations

import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import ImageError, ItemsFailedError, SettingError, UserError
from maskloss.core.spread import Piece, Spread, collect_failures, map_here
from one_worker import OneWorker


def look_at(names: str, damaged: str, spread: Spread | None, done: list[str], error: type[UserError]) -> None:
    with collect_failures(spread) as failures:
        for name in names:
            with failures.of(name):
                if name in damaged:
                    raise error(f"{name} is damaged")
                done.append(name)


def test_without_others_the_first_failure_is_raised() -> None:
    done: list[str] = []
    with pytest.raises(ImageError, match="b is damaged"):
        look_at("abcd", "bd", None, done, ImageError)
    assert done == ["a"]


def test_with_others_all_items_are_looked_at_first() -> None:
    # Only whether there is a spread counts here.
    spread: Spread = OneWorker.__new__(OneWorker)
    done: list[str] = []
    with pytest.raises(ItemsFailedError, match="2 items could not be worked on") as raised:
        look_at("abcd", "bd", spread, done, ImageError)
    assert done == ["a", "c"]
    assert raised.value.reasons == {"b": "b is damaged", "d": "d is damaged"}
    with pytest.raises(SettingError):
        look_at("abcd", "bd", spread, [], SettingError)


def test_the_error_names_twenty_and_counts_the_rest() -> None:
    text = str(ItemsFailedError({f"p{number}": "it is damaged" for number in range(30)}))
    assert text.startswith("30 items could not be worked on")
    assert "p19: it is damaged\nand 10 more" in text


def test_work_here_comes_as_it_is_asked_for() -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number * 2

    results = map_here(work, (Piece((str(number),), number) for number in range(3)))
    assert next(results)[1] == 0
    assert begun == [0]
    assert [value for _, value in results] == [2, 4]


def test_a_dataset_without_some_items_does_not_show_them(photograph) -> None:
    items = tuple(DatasetItem(name, photograph(f"{name}.png"), LoadSettings()) for name in "abc")
    left = Dataset(items).without({"b": "it is damaged", "x": "it is elsewhere"})
    assert [item.name for item in left.items] == ["a", "c"]
    assert left.left_out == ()
