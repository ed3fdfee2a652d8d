"""Shares of a dataset: every item in exactly one, as equal as can be."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.merge import join_datasets
from maskloss.core.dataset.share import Share
from maskloss.core.errors import SettingError


def dataset(count: int, folder: str = "set") -> Dataset:
    return Dataset(tuple(DatasetItem(f"p{n}", Path(folder, f"p{n}.png"), LoadSettings()) for n in range(count)))


@given(count=st.integers(0, 40), of=st.integers(1, 9))
def test_every_item_is_in_one_share_and_shares_are_equal(count: int, of: int) -> None:
    whole = dataset(count)
    shares = [Share(number, of).take(whole) for number in range(1, of + 1)]
    assert sorted(item.name for share in shares for item in share.items) == sorted(item.name for item in whole.items)
    sizes = [len(share.items) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(len(share.items) + len(share.left_out) == count for share in shares)


def test_names_stay_unique_over_all_shares_when_datasets_are_joined() -> None:
    # p1 of the first folder and p1 of the second may fall into different shares.
    parts = [
        join_datasets([Share(number, 2).take(dataset(3, "one")), Share(number, 2).take(dataset(2, "two"))])
        for number in (1, 2)
    ]
    names = sorted(item.name for part in parts for item in part.items)
    assert names == sorted(item.name for item in join_datasets([dataset(3, "one"), dataset(2, "two")]).items)


@pytest.mark.parametrize("text", ["", "2", "1/0", "0/2", "3/2", "a/b", "-1/2", "1/2/3"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="--shard is"):
        Share.parse(text)


def test_a_share_is_written_as_it_is_read() -> None:
    assert str(Share.parse(" 2/4 ")) == "2/4"
