"""A cache opens fast, says what is stale, and never gives out what is damaged."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.entry_file import MaskStorage, write_entry
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem, MaskOrigin
from maskloss.core.errors import CacheError
from safetensors.torch import save_file


@pytest.fixture
def cache(tmp_path: Path, dataset: Dataset, encoder) -> LatentCache:
    return cache_latents(dataset, encoder, tmp_path / "cache")[0]


def test_opening_gives_what_caching_gave(cache: LatentCache) -> None:
    opened = open_cache(cache.directory)
    assert opened.entries == cache.entries
    assert opened.fingerprint == cache.fingerprint
    assert (opened.architecture, opened.encoder) == ("demo", "maskloss-demo-dct-1")
    assert (opened.stale_entries, opened.missing_sources) == ((), ())


def test_a_missing_file_is_named(cache: LatentCache) -> None:
    (cache.directory / cache.entries[1].file).unlink()
    with pytest.raises(CacheError, match=r"sub/b_0040x0040_demo\.safetensors is missing"):
        open_cache(cache.directory)


@pytest.mark.parametrize("role", ["image", "mask", "caption"])
def test_an_edited_source_makes_its_entry_stale(cache: LatentCache, role: str) -> None:
    source = next(source for source in cache.entries[0].sources if source.role == role)
    source.path.write_bytes(source.path.read_bytes() + b" ")
    stale = open_cache(cache.directory).stale_entries
    assert [entry.name for entry in stale] == ["a"]
    assert f"its {role} {source.path} changed after it was cached" in stale[0].reason


def test_a_source_that_was_only_touched_is_not_stale(cache: LatentCache) -> None:
    os.utime(cache.entries[0].source_path, ns=(1, 1))
    assert open_cache(cache.directory).stale_entries == ()


def test_a_cache_may_be_moved_and_its_sources_be_gone(cache: LatentCache, tmp_path: Path) -> None:
    shutil.move(cache.directory, tmp_path / "elsewhere")
    shutil.rmtree(tmp_path / "set")
    moved = open_cache(tmp_path / "elsewhere")
    assert moved.stale_entries == ()
    assert moved.missing_sources == ("a", "sub/b", "wide")
    assert moved.fingerprint == cache.fingerprint
    assert torch.equal(moved.latent(moved.entries[0]).isfinite().all(), torch.tensor(True))


def rewrite(cache: LatentCache, latent: torch.Tensor, weights: torch.Tensor | None) -> None:
    write_entry(cache.directory / cache.entries[0].file, latent, weights, MaskStorage.FLOAT32, {})


def test_tensors_that_are_not_what_the_index_says_are_not_given_out(cache: LatentCache) -> None:
    entry = cache.entries[0]
    good, weights = torch.zeros(entry.latent_shape), torch.ones(1, 1, 8, 8)
    rewrite(cache, torch.zeros(16, 1, 4, 4), weights)
    with pytest.raises(CacheError, match=r"latents have the shape \(16, 1, 4, 4\) instead of \(16, 1, 8, 8\)"):
        cache.latent(entry)
    rewrite(cache, good.fill_(float("inf")), weights)
    with pytest.raises(CacheError, match=r"a_0040x0040_demo.*its latents are not finite; run CacheLatents"):
        cache.latent(entry)
    rewrite(cache, good, torch.ones(1, 1, 2, 2))
    with pytest.raises(CacheError, match=r"mask_weights have the shape \(1, 1, 2, 2\)"):
        cache.weights(entry)
    for value in (float("nan"), 1.5, -0.5):
        rewrite(cache, good, weights * value)
        with pytest.raises(CacheError, match=r"mask_weights are not all in \[0, 1\]"):
            cache.weights(entry)
    rewrite(cache, good, None)
    with pytest.raises(CacheError, match="holds no mask_weights, but the index says that its mask came from file"):
        cache.weights(entry)


def test_a_file_written_again_for_something_else_is_not_given_out(cache: LatentCache, item, encoder) -> None:
    # The first item's file is the same for another dataset with a picture of that name and size.
    entry = cache.entries[0]
    other = Dataset((item("a", seed=9, mask=np.full((40, 40), 9, np.uint8)),))
    again = cache_latents(other, encoder, cache.directory)[0]
    for read in (cache.latent, cache.weights):
        with pytest.raises(CacheError, match=r"a_0040x0040_demo.*written again since, for another picture, mask"):
            read(entry)
    assert again.latent(again.entries[0]).shape == entry.latent_shape
    assert float(again.weights(again.entries[0]).max()) == pytest.approx(9 / 255, abs=1e-4)


def test_an_open_cache_sees_what_changes_later(cache: LatentCache, dataset: Dataset) -> None:
    assert (cache.stale_entries, cache.find_stale_entries()) == ((), ())
    dataset.items[0].caption_path.write_text("edited since")
    assert cache.stale_entries == ()
    assert [entry.name for entry in cache.find_stale_entries()] == ["a"]


def test_a_file_that_is_no_cache_file_is_named(cache: LatentCache) -> None:
    entry = cache.entries[0]
    path = cache.directory / entry.file
    save_file({"other": torch.zeros(1)}, path)
    with pytest.raises(CacheError, match=r"its latents have the shape none"):
        cache.latent(entry)
    path.write_bytes(b"garbage")
    for read in (cache.latent, cache.weights):
        with pytest.raises(CacheError, match=r"The cache file .*a_0040x0040_demo\.safetensors cannot be used"):
            read(entry)


def test_the_fingerprint_covers_captions_repeats_and_text_encoder(cache: LatentCache, text_encoder) -> None:
    first = cache.entries[0]
    others = {
        cache.fingerprint,
        replace(cache, entries=(replace(first, caption="x"), *cache.entries[1:])).fingerprint,
        replace(cache, entries=(replace(first, repeats=2), *cache.entries[1:])).fingerprint,
        replace(cache, entries=(replace(first, mask_fingerprint="x"), *cache.entries[1:])).fingerprint,
        replace(cache, encoder="x").fingerprint,
        cache_text(cache, text_encoder)[0].fingerprint,
    }
    assert len(others) == 6
    assert replace(cache, directory=Path("elsewhere")).fingerprint == cache.fingerprint


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_fingerprint_is_that_of_the_json_of_all_entries(cache: LatentCache, count: int) -> None:
    entries = tuple(replace(entry, regularisation=0.25 * (row == 1), caption='ä"') for row, entry in
                    enumerate((*cache.entries, *cache.entries)[:count]))  # fmt: skip
    described = [
        [entry.name, entry.latent_fingerprint, entry.mask_fingerprint, entry.caption, entry.repeats,
         *([entry.regularisation] if entry.regularisation else [])]
        for entry in entries
    ]  # fmt: skip
    text = json.dumps([cache.architecture, cache.encoder, cache.text_encoder, described])
    assert replace(cache, entries=entries).fingerprint == hashlib.sha256(text.encode()).hexdigest()


def test_origins_are_counted_over_all_entries(tmp_path: Path, item: Callable[..., DatasetItem], encoder) -> None:
    items = tuple(item(f"i{n}", n, mask=np.zeros((40, 40), np.uint8) if n else None) for n in range(3))
    cache = cache_latents(Dataset(items), encoder, tmp_path / "cache")[0]
    assert cache.origin_counts() == {MaskOrigin.ALPHA: 0, MaskOrigin.FILE: 2, MaskOrigin.NONE: 1}
