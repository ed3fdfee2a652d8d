"""Shards of a cache that several machines fill: each writes an index of its own, and the last one joins them.

`shares/{job}-{i}-of-{n}.json` is an index of one shard (share). `job` identifies what is cached, so that shards of
different datasets, models or settings never become one cache.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..dataset.items import Dataset
from ..dataset.share import Share
from ..errors import CacheError
from ..files import lock_directory
from ..fingerprints import fingerprint_of
from .index import SHARES_DIRECTORY, CacheIndex, read_index, read_index_file, write_index, write_index_file
from .index_columns import EntryTable

_JOB_LENGTH = 16


def share_job(dataset: Dataset, *settings: object) -> str:
    """What all shares of one cache agree on: the names of all photographs, those of other shares among them, and the
    settings."""
    # A crop counts as its photograph: of the other shares' photographs nobody knows here which crops they give.
    names = sorted({item.whole_name for item in (*dataset.items, *(left.item for left in dataset.left_out))})
    return fingerprint_of(*names, *settings)[:_JOB_LENGTH]


def begin_share(directory: Path, share: Share, job: str) -> None:
    """Take back what an earlier run of this share noted: until it is done again, the cache is not whole."""
    _index_path(directory, share, job).unlink(missing_ok=True)


def finish_share(directory: Path, share: Share, job: str, part: CacheIndex) -> tuple[int, ...]:
    """Note what this share holds; where all are there, write the index of the whole.

    Returns the numbers of the shares that are not finished: none of them when the cache is whole now.
    """
    write_index_file(_index_path(directory, share, job), part)
    with lock_directory(directory):
        paths = {number: _index_path(directory, Share(number, share.of), job) for number in range(1, share.of + 1)}
        missing = tuple(number for number, path in paths.items() if not path.exists())
        if missing:
            return missing
        before = index_before(directory)
        entries = [entry for path in paths.values() for entry in read_index_file(path).entries]
        entries.sort(key=lambda entry: entry.name)  # the same order however the work was divided
        text_encoder = None if before is None else before.text_encoder
        whole = replace(part, entries=EntryTable.from_entries(entries), text_encoder=text_encoder)
        if whole != before:
            write_index(directory, whole)
    return ()


def share_messages(share: Share, entries: int, missing: Sequence[int], directory: Path) -> list[str]:
    """What came out of a share, for people."""
    lines = [f"Share {share}: {entries} entries are cached."]
    if missing:
        numbers = ", ".join(f"{number}/{share.of}" for number in missing)
        lines.append(
            f"The cache {directory} opens when all shares of this dataset and these settings are finished; not yet: "
            f"{numbers}."
        )
    else:
        lines.append(f"All {share.of} shares are finished: the cache {directory} is complete.")
    return lines


def forget_shares(directory: Path) -> None:
    """Remove what shares noted, once an index of the whole stands for them."""
    shutil.rmtree(directory / SHARES_DIRECTORY, ignore_errors=True)


def index_before(directory: Path) -> CacheIndex | None:
    """The index that is there. None where there is none or it is damaged: the files themselves say what they hold."""
    try:
        return read_index(directory)
    except CacheError:
        return None


def _index_path(directory: Path, share: Share, job: str) -> Path:
    return directory / SHARES_DIRECTORY / f"{job}-{share.number}-of-{share.of}.json"
