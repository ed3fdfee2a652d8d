"""Shards of one cache: it is whole when the last is finished, and never made of two different jobs."""

from pathlib import Path

import pytest
from maskloss.core.cache.index import CacheIndex, read_index, write_index
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.shards import (
    begin_shard,
    finish_shard,
    forget_shards,
    index_before,
    shard_job,
    shard_messages,
)
from maskloss.core.dataset.items import Dataset
from maskloss.core.dataset.shard import Shard
from maskloss.core.errors import CacheError


@pytest.fixture
def entries(tmp_path: Path, dataset: Dataset, encoder):
    return tuple(cache_latents(dataset, encoder, tmp_path / "whole")[0].entries)


def part(entries) -> CacheIndex:
    return CacheIndex("demo", "encoder", entries)


def test_the_last_shard_writes_the_index_in_the_order_of_names(tmp_path: Path, entries) -> None:
    assert finish_shard(tmp_path, Shard(2, 2), "job", part(entries[:1])) == (1,)
    with pytest.raises(CacheError, match="There is no cache in"):
        read_index(tmp_path)
    assert finish_shard(tmp_path, Shard(1, 2), "job", part(entries[1:])) == ()
    whole = read_index(tmp_path)
    assert [entry.name for entry in whole.entries] == ["a", "sub/b", "wide"]
    assert whole.complete


def test_the_text_that_was_cached_before_stays_known(tmp_path: Path, entries) -> None:
    write_index(tmp_path, CacheIndex("demo", "encoder", (), "words-1", complete=False))
    assert finish_shard(tmp_path, Shard(1, 1), "job", part(entries)) == ()
    assert read_index(tmp_path).text_encoder == "words-1"


def test_a_shard_that_begins_again_is_missing_until_it_is_done(tmp_path: Path, entries) -> None:
    finish_shard(tmp_path, Shard(1, 2), "job", part(entries[:1]))
    begin_shard(tmp_path, Shard(1, 2), "job")
    assert finish_shard(tmp_path, Shard(2, 2), "job", part(entries[1:])) == (1,)


def test_shards_of_another_job_or_division_do_not_count(tmp_path: Path, entries) -> None:
    finish_shard(tmp_path, Shard(1, 2), "other", part(entries[:1]))
    finish_shard(tmp_path, Shard(1, 3), "job", part(entries[:1]))
    assert finish_shard(tmp_path, Shard(2, 2), "job", part(entries[1:])) == (1,)
    forget_shards(tmp_path)
    forget_shards(tmp_path)
    assert list(tmp_path.glob("shares/*")) == []


def test_a_job_is_its_photographs_and_settings(dataset: Dataset) -> None:
    job = shard_job(dataset, "encoder", 1)
    assert shard_job(Dataset(dataset.items[::-1]), "encoder", 1) == job
    assert shard_job(Dataset(dataset.items[:2]), "encoder", 1) != job
    assert shard_job(dataset, "encoder", 2) != job


def test_a_damaged_index_counts_as_none(tmp_path: Path) -> None:
    assert index_before(tmp_path) is None
    (tmp_path / "maskloss_index.json").write_text("{")
    assert index_before(tmp_path) is None


def test_messages_name_the_shards_that_are_missing(tmp_path: Path) -> None:
    missing = shard_messages(Shard(1, 3), 5, (2, 3), tmp_path)
    assert missing[0] == "Shard 1/3: 5 entries are cached."
    assert missing[1].endswith("not yet: 2/3, 3/3.")
    assert "All 3 shards are finished" in shard_messages(Shard(1, 3), 5, (), tmp_path)[1]
