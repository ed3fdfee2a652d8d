"""Everything that is wrong with a cache, found at once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.entry_file import MaskStorage, read_header, write_entry
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.index import INDEX_FILE
from maskloss.core.cache.inspection import inspect_cache
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset
from maskloss.core.errors import CacheError, PathError


@pytest.fixture
def cache(tmp_path: Path, dataset: Dataset, encoder, text_encoder) -> LatentCache:
    encoder.architecture = "wan"
    return cache_text(cache_latents(dataset, encoder, tmp_path / "cache")[0], text_encoder)[0]


def test_a_sound_cache_has_no_faults(cache: LatentCache) -> None:
    found = inspect_cache(cache.directory, deep=True)
    assert (found.faults, found.complete, found.orphans, found.unused_text) == (0, True, (), ())
    assert [check.has_weights for check in found.checks] == [True, False, True]
    assert sum(found.buckets.values()) == 3
    assert found.coverages == (0.0, pytest.approx(0.251, abs=1e-3))
    assert found.cache.missing_captions() == ()


def test_every_fault_is_found_in_one_go(cache: LatentCache, item) -> None:
    a, b, wide = (cache.directory / entry.file for entry in cache.entries)
    a.write_bytes(a.read_bytes()[:-8])
    b.unlink()
    item("wide", 2, (80, 40), mask=np.full((40, 80), 9, np.uint8))
    found = inspect_cache(cache.directory)
    assert [bool(check.problem) for check in found.checks] == [True, True, False]
    assert [entry.name for entry in found.stale] == ["wide"]
    assert found.faults == 3
    assert wide.exists()


def test_files_that_are_not_what_the_index_says(cache: LatentCache) -> None:
    a, b, wide = (cache.directory / entry.file for entry in cache.entries)
    own = [read_header(path).metadata for path in (a, b)]
    shape = cache.entries[0].latent_shape
    write_entry(a, torch.zeros(shape), None, MaskStorage.FLOAT16, own[0])
    write_entry(b, torch.zeros(16, 1, 1, 1), None, MaskStorage.FLOAT16, own[1])
    write_entry(wide, torch.zeros(shape), None, MaskStorage.FLOAT16, own[0])
    problems = [check.problem for check in inspect_cache(cache.directory).checks]
    assert "holds no mask_weights, but by the index its mask is from file" in problems[0]
    assert "has latents of shape (16, 1, 1, 1) instead of" in problems[1]
    assert "is not the file that the index speaks of" in problems[2]


def test_only_a_deep_look_reads_the_tensors(cache: LatentCache) -> None:
    entry = cache.entries[1]
    path = cache.directory / entry.file
    latent = torch.full(entry.latent_shape, float("nan"))
    write_entry(path, latent, None, MaskStorage.FLOAT16, read_header(path).metadata)
    assert inspect_cache(cache.directory).faults == 0
    (problem,) = [check.problem for check in inspect_cache(cache.directory, deep=True).checks if check.problem]
    assert "its latents are not finite" in problem


def test_orphans_of_both_kinds(cache: LatentCache, dataset: Dataset, encoder) -> None:
    cache_latents(Dataset(dataset.items[1:2]), encoder, cache.directory)
    (cache.directory / "text/old.safetensors").write_bytes(b"")
    found = inspect_cache(cache.directory)
    assert found.orphans == ("a_0040x0040_wan.safetensors", "wide_0080x0040_wan.safetensors")
    assert found.unused_text == ("text/old.safetensors",)
    assert found.faults == 0


def test_caching_that_was_broken_off_is_a_fault(cache: LatentCache) -> None:
    path = cache.directory / INDEX_FILE
    path.write_text(path.read_text().replace('"complete": true', '"complete": false'))
    found = inspect_cache(cache.directory)
    assert (found.complete, found.faults) == (False, 1)


def test_another_trainers_cache_is_inspected_too(cache: LatentCache, tmp_path: Path) -> None:
    export_reference(cache, tmp_path / "theirs")
    found = inspect_cache(tmp_path / "theirs", deep=True)
    assert (found.faults, found.orphans, len(found.checks)) == (0, (), 3)


def test_where_there_is_no_cache(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="is not a directory"):
        inspect_cache(tmp_path / "none")
    with pytest.raises(CacheError, match="There is no cache in"):
        inspect_cache(tmp_path)
