"""Shards of a dataset: every item in exactly one, as equal as can be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.merge import join_datasets
from maskloss.core.dataset.shard import Shard
from maskloss.core.errors import SettingError


def dataset(count: int, folder: str = "set") -> Dataset:
    return Dataset(tuple(DatasetItem(f"p{n}", Path(folder, f"p{n}.png"), LoadSettings()) for n in range(count)))


@given(count=st.integers(0, 40), of=st.integers(1, 9))
def test_every_item_is_in_one_shard_and_shards_are_equal(count: int, of: int) -> None:
    whole = dataset(count)
    shards = [Shard(number, of).take(whole) for number in range(1, of + 1)]
    assert sorted(item.name for shard in shards for item in shard.items) == sorted(item.name for item in whole.items)
    sizes = [len(shard.items) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert all(len(shard.items) + len(shard.left_out) == count for shard in shards)


def test_names_stay_unique_over_all_shards_when_datasets_are_joined() -> None:
    # p1 of the first folder and p1 of the second may fall into different shards.
    parts = [
        join_datasets([Shard(number, 2).take(dataset(3, "one")), Shard(number, 2).take(dataset(2, "two"))])
        for number in (1, 2)
    ]
    names = sorted(item.name for part in parts for item in part.items)
    assert names == sorted(item.name for item in join_datasets([dataset(3, "one"), dataset(2, "two")]).items)


@pytest.mark.parametrize("text", ["", "2", "1/0", "0/2", "3/2", "a/b", "-1/2", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="--shard is"):
        Shard.parse(text)


def test_a_shard_is_written_as_it_is_read() -> None:
    assert str(Shard.parse(" 2/4 ")) == "2/4"
