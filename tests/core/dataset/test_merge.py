"""Two datasets as one: unique names, shares of an epoch, nothing lost."""

from dataclasses import replace
from pathlib import Path

import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut, LoadSettings
from maskloss.core.dataset.merge import join_datasets, merge_datasets
from maskloss.core.errors import SettingError


def dataset(folder: str, *names: str, repeats: int = 1) -> Dataset:
    items = (DatasetItem(name, Path(folder) / f"{name}.png", LoadSettings(), repeats=repeats) for name in names)
    return Dataset(tuple(items))


def names(merged: Dataset) -> list[str]:
    return [item.name for item in merged.items]


def test_only_names_that_clash_are_prefixed_by_their_folder() -> None:
    merged = join_datasets([dataset("/x/one", "a", "b"), dataset("/x/two", "a", "sub/c")])
    assert names(merged) == ["one/a", "b", "two/a", "sub/c"]
    assert [item.media_path.parent.name for item in merged.items] == ["one", "one", "two", "sub"]


def test_folders_of_one_name_are_told_apart_by_their_parents() -> None:
    merged = join_datasets([dataset("/x/ann/images", "sub/a"), dataset("/x/bob/images", "sub/a")])
    assert names(merged) == ["ann/images/sub/a", "bob/images/sub/a"]
    assert names(join_datasets([dataset("/images", "a"), dataset("/x/images", "a")])) == ["images/a", "x/images/a"]


def test_one_folder_twice_is_numbered_and_may_be_joined_again() -> None:
    once = join_datasets([dataset("/x/set", "a"), dataset("/x/set", "a")])
    assert names(once) == ["set-1/a", "set-2/a"]
    again = join_datasets([once, dataset("/x/set", "a"), once])
    assert len(set(names(again))) == 5


def test_a_prefixed_name_never_meets_one_that_is_there() -> None:
    merged = join_datasets([dataset("/x/one", "a"), dataset("/x/two", "a", "one/a", "one-1/a")])
    assert len(set(names(merged))) == 4
    assert {"one/a", "one-1/a"} < set(names(merged))


def test_what_was_left_out_comes_along_under_a_name_of_its_own() -> None:
    first, second = dataset("/x/one", "a"), dataset("/x/two", "b")
    left = LeftOut(replace(second.items[0], name="a", media_path=Path("/x/two/a.png")), "no face")
    merged = join_datasets([first, replace(second, left_out=(left,))])
    assert names(merged) == ["one/a", "b"]
    assert [(left.item.name, left.reason) for left in merged.left_out] == [("two/a", "no face")]


def test_weights_scale_the_repeats_and_say_what_came_out() -> None:
    first, second = dataset("/x/one", "a", "b", repeats=2), dataset("/x/two", "c", repeats=3)
    merged, messages = merge_datasets(first, second, 1.5, 0.5)
    assert [item.repeats for item in merged.items] == [3, 3, 2]
    assert messages == ("first: 2 items, 6 per epoch (were 4).", "second: 1 items, 2 per epoch (were 3).")
    assert [item.repeats for item in first.items] == [2, 2]


def test_nothing_comes_less_than_once() -> None:
    merged, messages = merge_datasets(dataset("/x/one", "a"), dataset("/x/two", "a"), 0.1)
    assert [item.repeats for item in merged.items] == [1, 1]
    assert messages[1].startswith("1 items of first would come less than once at first_weight 0.1")
    assert messages[-1] == "2 items share their names and are prefixed by their folders, as one/a."


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_must_be_above_zero(weight: float) -> None:
    with pytest.raises(SettingError, match="second_weight is"):
        merge_datasets(dataset("/x/one", "a"), dataset("/x/two", "b"), 1.0, weight)
