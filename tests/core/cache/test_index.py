"""The index of a cache: one file, whole and of the right format, or an error that says what to run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from maskloss.core.cache.index import CacheIndex, entry_files, orphan_files, read_index, write_index
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.dataset.items import Dataset
from maskloss.core.errors import CacheError


@pytest.fixture
def cache(tmp_path: Path, dataset: Dataset, encoder) -> LatentCache:
    return cache_latents(dataset, encoder, tmp_path / "cache")[0]


def test_there_must_be_an_index(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"There is no cache in .*maskloss_index\.json is missing"):
        open_cache(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": 2, "entries": [{"name": "a"}]}'])
def test_a_damaged_index_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "maskloss_index.json").write_text(content)
    with pytest.raises(CacheError, match=r"The cache index .*maskloss_index\.json is damaged"):
        open_cache(tmp_path)


def test_an_index_of_another_format_or_without_entries_is_refused(cache: LatentCache) -> None:
    path = cache.directory / "maskloss_index.json"
    index = json.loads(path.read_text())
    path.write_text(json.dumps({**index, "format": 99}))
    with pytest.raises(CacheError, match="has format 99 instead of 2; run CacheLatents and CacheText again: they keep"):
        open_cache(cache.directory)
    empty = {name: [] for name in index["entries"]}, {name: [] for name in index["sources"]}
    path.write_text(json.dumps({**index, "entries": empty[0], "sources": empty[1]}))
    with pytest.raises(CacheError, match="is empty"):
        open_cache(cache.directory)


def test_an_index_comes_back_as_it_was_written(cache: LatentCache, tmp_path: Path) -> None:
    index = CacheIndex("demo", "encoder-1", cache.entries, "words-1", complete=False)
    write_index(tmp_path, index)
    assert read_index(tmp_path) == index
    assert read_index(tmp_path) != replace(index, complete=True)
    assert tuple(read_index(tmp_path).entries) == tuple(cache.entries)


def test_files_of_no_entry_are_orphans_and_text_is_not(cache: LatentCache) -> None:
    for name in ("gone.safetensors", "sub/gone.safetensors", "text/abc.safetensors", ".half.safetensors", "notes.txt"):
        (cache.directory / name).parent.mkdir(exist_ok=True)
        (cache.directory / name).write_bytes(b"")
    assert orphan_files(cache.directory, cache.entries) == ("gone.safetensors", "sub/gone.safetensors")
    assert len(orphan_files(cache.directory, cache.entries[:1])) == 4


def test_files_and_their_sizes_are_listed_in_order(cache: LatentCache) -> None:
    sizes = [(entry.file, (cache.directory / entry.file).stat().st_size) for entry in cache.entries]
    assert list(entry_files(cache.entries)) == sizes
    assert list(entry_files(tuple(cache.entries))) == sizes
