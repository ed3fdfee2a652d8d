"""What an entry was made from: hashed once, and again where anything about a file changed."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache import sources
from maskloss.core.cache.latents import cache_latents
from maskloss.core.dataset.items import Dataset


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read to be hashed, as they are."""
    names: list[str] = []
    hash_of = sources.hash_of
    monkeypatch.setattr(sources, "hash_of", lambda path: (names.append(path.name), hash_of(path))[1])
    return names


def settled(directory: Path) -> None:
    """As if the cache had been filled a while after its sources were written."""
    later = time.time() + 60
    for path in directory.rglob("*.safetensors"):
        os.utime(path, (later, later))


def test_unchanged_files_are_not_read_again(tmp_path: Path, dataset: Dataset, encoder, hashed: list[str]) -> None:
    cache_latents(dataset, encoder, tmp_path / "cache")
    assert sorted(hashed) == ["a.png", "a.png", "a.txt", "b.png", "b.txt", "wide.png", "wide.png"]
    settled(tmp_path / "cache")
    hashed.clear()
    report = cache_latents(dataset, encoder, tmp_path / "cache")[1]
    assert (hashed, report["counts"]["unchanged"]) == ([], 3)
    (tmp_path / "cache/maskloss_index.json").unlink()
    cache_latents(dataset, encoder, tmp_path / "cache")
    assert hashed == [], "the files say it, so that caching that was broken off goes on as fast"


def test_a_file_that_was_changed_just_before_it_was_cached_is_read_again(
    tmp_path: Path, dataset: Dataset, encoder, hashed: list[str]
) -> None:
    cache_latents(dataset, encoder, tmp_path / "cache")
    hashed.clear()
    cache_latents(dataset, encoder, tmp_path / "cache")
    assert len(hashed) == 7, "its time may be the same after another change"


def test_an_edit_that_hides_its_time_is_found(tmp_path: Path, dataset: Dataset, encoder) -> None:
    cache_latents(dataset, encoder, tmp_path / "cache")
    settled(tmp_path / "cache")
    path = dataset.items[0].caption_path
    before = path.stat()
    path.write_text("AHWX person")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    cache, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    noted = next(source for source in cache.entries[0].sources if source.role == "caption")
    assert noted.sha256 == sources.hash_of(path)


def test_what_is_noted_of_the_sources_may_be_damaged(tmp_path: Path, dataset: Dataset) -> None:
    paths = {"image": dataset.items[0].media_path}
    expected = sources.read_sources(paths, tmp_path / "none.safetensors")
    for content in (b"garbage", b""):
        (tmp_path / "damaged.safetensors").write_bytes(content)
        assert sources.read_sources(paths, tmp_path / "damaged.safetensors") == expected
    ((role, name, *_, digest),) = json.loads(expected[1])
    assert (role, name, digest) == ("image", "a.png", expected[0][0].sha256)


def test_a_folder_of_masks_is_hashed_every_time(tmp_path: Path, dataset: Dataset, hashed: list[str]) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    np.save(folder / "0.npy", np.zeros(3))
    assert json.loads(sources.read_sources({"mask": folder}, tmp_path / "none")[1]) == []
    assert hashed == ["frames"]
