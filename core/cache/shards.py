"""Shards of a cache that several machines fill: each writes an index of its own, and the last one joins them.

`shares/{job}-{i}-of-{n}.json` is an index of one shard. `job` identifies what is cached, so that shards of
different datasets, models or settings never become one cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from heapq import merge
from pathlib import Path

from ..dataset.items import Dataset
from ..dataset.shard import Shard
from ..errors import CacheError
from ..files import lock_directory
from ..fingerprints import fingerprint_of
from .index import SHARDS_DIRECTORY, CacheIndex, read_index, read_index_file, to_table, write_index, write_index_file
from .index_columns import EntryTable

_JOB_LENGTH = 16


def shard_job(dataset: Dataset, *settings: object) -> str:
    """What all shards of one cache agree on: the names of all photographs, those of other shards among them, and the
    settings."""
    # A crop counts as its photograph: of the other shards' photographs nobody knows here which crops they give.
    names = sorted({item.whole_name for item in (*dataset.items, *(left.item for left in dataset.left_out))})
    return fingerprint_of(*names, *settings)[:_JOB_LENGTH]


def begin_shard(directory: Path, shard: Shard, job: str) -> None:
    """Take back what an earlier run of this shard noted: until it is done again, the cache is not whole."""
    _index_path(directory, shard, job).unlink(missing_ok=True)


def finish_shard(directory: Path, shard: Shard, job: str, part: CacheIndex) -> tuple[int, ...]:
    """Note what this shard holds; where all are there, write the index of the whole.

    Returns the numbers of the shards that are not finished: none of them when the cache is whole now.
    """
    write_index_file(_index_path(directory, shard, job), part)
    with lock_directory(directory):
        paths = {number: _index_path(directory, Shard(number, shard.of), job) for number in range(1, shard.of + 1)}
        missing = tuple(number for number, path in paths.items() if not path.exists())
        if missing:
            return missing
        before = index_before(directory)
        parts = [to_table(read_index_file(path).entries).by_name() for path in paths.values()]
        entries = merge(*parts, key=lambda entry: entry.name)  # the same order however the work was divided
        text_encoder = None if before is None else before.text_encoder
        whole = replace(part, entries=EntryTable.from_entries(entries), text_encoder=text_encoder)
        if whole != before:
            write_index(directory, whole)
    return ()


def shard_messages(shard: Shard, entries: int, missing: Sequence[int], directory: Path) -> list[str]:
    """What came out of a shard, for people."""
    lines = [f"Shard {shard}: {entries} entries are cached."]
    if missing:
        numbers = ", ".join(f"{number}/{shard.of}" for number in missing)
        lines.append(
            f"The cache {directory} opens when all shards of this dataset and these settings are finished; not yet: "
            f"{numbers}."
        )
    else:
        lines.append(f"All {shard.of} shards are finished: the cache {directory} is complete.")
    return lines


def forget_shards(directory: Path) -> None:
    """Remove what shards noted, once an index of the whole stands for them."""
    shutil.rmtree(directory / SHARDS_DIRECTORY, ignore_errors=True)


def index_before(directory: Path) -> CacheIndex | None:
    """The index that is there. None where there is none or it is damaged: the files themselves say what they hold."""
    try:
        return read_index(directory)
    except CacheError:
        return None


def _index_path(directory: Path, shard: Shard, job: str) -> Path:
    return directory / SHARDS_DIRECTORY / f"{job}-{shard.number}-of-{shard.of}.json"
