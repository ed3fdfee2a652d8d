"""Several processes over one directory, processes that are killed, and a disk that is full."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.entry_file import read_header, read_metadata
from maskloss.core.cache.index import read_index
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.dataset.shard import Shard
from maskloss.core.demo.encoders import DemoTextEncoder
from maskloss.core.errors import CacheError
from maskloss.core.images import load_image, load_mask
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.masks.ledger import FileState, open_ledger
from maskloss.core.masks.merge_alpha import merge_dataset_alpha
from maskloss.core.parts.tiers import TierWeights
from PIL import Image

from . import processes
from .processes import (
    SECONDS,
    RedSegmenter,
    SlowEncoder,
    build_it,
    cache_it,
    folder_dataset,
    merge_it,
    note_it,
    started,
)

COUNT = 12
KILLS = 20
WHOLE = slice(None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs with masks and captions."""
    root = tmp_path_factory.mktemp("photographs")
    for folder in ("set", "masks"):
        (root / folder).mkdir()
    random_ = np.random.default_rng(0)
    for number in range(COUNT):
        size = (40 + 4 * (number % 3), 40)
        rgb_HWC = random_.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(rgb_HWC).save(root / f"set/p{number:02}.png")
        Image.fromarray(rgb_HWC[..., 0]).save(root / f"masks/p{number:02}.png")
        (root / f"set/p{number:02}.txt").write_text(f"ohwx {number % 5}")
    return root


@pytest.fixture(scope="module")
def undisturbed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> LatentCache:
    """What one process makes when nobody disturbs it."""
    cache, _ = cache_latents(folder_dataset(root), SlowEncoder(0), tmp_path_factory.mktemp("cache"))
    return cache_text(cache, DemoTextEncoder())[0]


def assert_equal(directory: Path, expected: LatentCache) -> None:
    cache = open_cache(directory)
    assert cache.entries == expected.entries
    assert cache.fingerprint == expected.fingerprint
    assert cache.missing_captions() == ()
    assert cache.stale_entries == ()
    for entry in cache.entries:
        assert torch.equal(cache.latent(entry), expected.latent(entry))
        assert torch.equal(cache.weights(entry), expected.weights(entry))
    assert hidden(directory) == []


def hidden(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob(".*") if ".maskloss" not in path.name]


def finished(directory: Path) -> list[Path]:
    return [path for path in directory.glob("*.safetensors") if not path.name.startswith(".")]


def assert_all_whole(directory: Path) -> None:
    """Whatever bears its final name can be read."""
    for path in finished(directory):
        read_header(path)
    for path in finished(directory / "text"):
        read_metadata(path)
    if (directory / "maskloss_index.json").exists():
        read_index(directory)


@pytest.mark.parametrize("shards", [(None, None), (Shard(1, 2), Shard(2, 2)), (Shard(1, 3), Shard(2, 3), Shard(3, 3))])
def test_processes_that_cache_together_make_what_one_makes(
    root: Path, tmp_path: Path, undisturbed: LatentCache, shards: tuple[Shard | None, ...]
) -> None:
    running = [started(cache_it, root, tmp_path, 0.01, shard, WHOLE) for shard in shards]
    for process in running:
        process.join(SECONDS)
    assert [process.exitcode for process in running] == [0] * len(shards)
    assert_equal(tmp_path, undisturbed)


def test_two_datasets_in_one_directory_leave_each_other_s_files_alone(
    root: Path, tmp_path: Path, undisturbed: LatentCache
) -> None:
    halves = slice(0, COUNT // 2), slice(COUNT // 2, COUNT)
    running = [started(cache_it, root, tmp_path, 0.01, None, half) for half in halves]
    for process in running:
        process.join(SECONDS)
    # One of them may be told that the other filled the directory; neither breaks what is there.
    assert 0 in [process.exitcode for process in running]
    assert_all_whole(tmp_path)
    report = cache_latents(folder_dataset(root), SlowEncoder(0), tmp_path)[1]
    assert report["counts"]["unchanged"] == COUNT, "no file was lost"
    cache_text(open_cache(tmp_path), DemoTextEncoder())
    assert_equal(tmp_path, undisturbed)


def test_a_shard_that_is_alone_does_not_make_a_cache(root: Path, tmp_path: Path, undisturbed: LatentCache) -> None:
    cache_it(root, tmp_path, 0, Shard(1, 2), WHOLE)
    with pytest.raises(CacheError, match=r"Not all shards of the cache .* are finished \(only 1-of-2\)"):
        open_cache(tmp_path)
    cache_it(root, tmp_path, 0, Shard(2, 2), WHOLE)
    assert_equal(tmp_path, undisturbed)
    report = cache_latents(folder_dataset(root), SlowEncoder(0), tmp_path)[1]
    assert report["counts"]["unchanged"] == COUNT, "a run of the whole has nothing left to do"
    assert not (tmp_path / "shares").exists()


def test_caching_killed_at_random_moments_loses_nothing(root: Path, tmp_path: Path, undisturbed: LatentCache) -> None:
    moments = random.Random(4)
    seconds = 0.01
    left: list[int] = []
    for number in range(KILLS):
        directory = tmp_path / str(number)
        process = started(cache_it, root, directory, seconds, None, WHOLE)
        # By the work done and not by the clock, so that a slow machine is caught in the middle of it as well.
        enough, deadline = moments.randrange(COUNT), time.monotonic() + SECONDS
        while len(finished(directory)) < enough and process.is_alive() and time.monotonic() < deadline:
            time.sleep(seconds / 20)
        time.sleep(moments.uniform(0, seconds))
        process.kill()
        process.join(SECONDS)
        assert_all_whole(directory)
        there = len(finished(directory))
        left.append(there)
        if process.exitcode != 0:
            with pytest.raises(CacheError, match=r"There is no cache|broken off|no text|unfinished"):
                open_cache(directory).empty_text()
        cache, report = cache_latents(folder_dataset(root), SlowEncoder(0), directory)
        cache_text(cache, DemoTextEncoder())
        assert report["counts"]["unchanged"] == there, "what was finished is not made again"
        assert_equal(directory, undisturbed)
    assert any(0 < there < COUNT for there in left), "some were killed halfway"


def test_merging_killed_at_random_moments_loses_nothing(root: Path, tmp_path: Path) -> None:
    moments = random.Random(5)
    dataset = folder_dataset(root)
    expected, _ = merge_dataset_alpha(dataset, tmp_path / "undisturbed")
    for number in range(KILLS):
        directory = tmp_path / str(number)
        process = started(merge_it, root, directory)
        enough = moments.randrange(COUNT)
        while len(list(directory.glob("[!.]*.png"))) < enough and process.is_alive():
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.01))
        process.kill()
        process.join(SECONDS)
        for path in directory.glob("[!.]*.png"):
            load_image(path)
        merged, _ = merge_dataset_alpha(dataset, directory)
        for item, other in zip(merged.items, expected.items, strict=True):
            assert item.media_path.read_bytes() == other.media_path.read_bytes()
            assert item.caption_path is not None
            assert item.caption_path.read_text() == item.caption
        assert hidden(directory) == []
        assert not list(directory.glob("*.journal"))
        report = merge_dataset_alpha(dataset, directory)[1]
        assert report["counts"]["unchanged"] == COUNT


def test_a_full_disk_is_named_and_caching_goes_on_afterwards(
    root: Path, tmp_path: Path, undisturbed: LatentCache
) -> None:
    read, write = processes.pipe()
    arguments = (cache_it, root, tmp_path, 0, None, WHOLE)
    process = started(processes.with_file_limit, 3000, write, *arguments)
    process.join(SECONDS)
    kind, message = read.recv()
    assert kind == "DiskError"
    assert "p00_0040x0040_demo.safetensors cannot be written (File too large); make room on that disk" in message
    assert not list(tmp_path.rglob("*.safetensors"))
    assert hidden(tmp_path) == []
    with pytest.raises(CacheError, match="broken off; run CacheLatents again"):
        open_cache(tmp_path)
    cache_it(root, tmp_path, 0, None, WHOLE)
    assert_equal(tmp_path, undisturbed)


def test_a_full_disk_while_merging_is_named(root: Path, tmp_path: Path) -> None:
    read, write = processes.pipe()
    started(processes.with_file_limit, 3000, write, merge_it, root, tmp_path).join(SECONDS)
    kind, message = read.recv()
    assert kind == "DiskError"
    assert "p00.png cannot be written" in message
    assert not list(tmp_path.glob("*.png"))
    assert merge_dataset_alpha(folder_dataset(root), tmp_path)[1]["counts"]["written"] == COUNT


def test_two_processes_build_masks_in_one_folder(root: Path, tmp_path: Path) -> None:
    running = [started(build_it, root, tmp_path) for _ in range(2)]
    for process in running:
        process.join(SECONDS)
    assert [process.exitcode for process in running] == [0, 0]
    dataset, _ = scan_dataset(DatasetConfig(root / "set"))
    _, report = build_masks(dataset, RedSegmenter(), TierWeights(), tmp_path)
    assert report["counts"] == {"items": COUNT, "written": 0, "unchanged": COUNT, "kept": 0}
    for item in dataset.items:
        expected_HW = (load_image(item.media_path)[0][..., 0] > 127) * np.uint8(255)
        assert np.array_equal(load_mask(tmp_path / f"{item.name}.png"), expected_HW)
    assert sorted(path.suffix for path in tmp_path.iterdir() if not path.name.startswith(".")) == [".png"] * COUNT
    assert not list(tmp_path.glob(".*.journal"))


@pytest.mark.parametrize("most_noted", [50_000, 7])
@pytest.mark.parametrize("shared", [True, False])
def test_two_processes_keep_one_ledger(tmp_path: Path, shared: bool, most_noted: int) -> None:
    names = [f"n{number}" for number in range(60)]
    parts = (names, names) if shared else (names[::2], names[1::2])
    running = [started(note_it, tmp_path, part, most_noted) for part in parts]
    for process in running:
        process.join(SECONDS)
    assert [process.exitcode for process in running] == [0, 0]
    with open_ledger(tmp_path, "Step") as ledger:
        states = {ledger.state(name, tmp_path / f"{name}.png", "one") for name in names}
        assert states == {FileState.UNCHANGED}
        foreign = [name for name in names if ledger.record(name).details["state"] == "foreign"]
    assert foreign == [], "nobody's file is taken for a stranger's"
    assert not list(tmp_path.glob("*.journal"))


def test_a_ledger_of_which_one_writer_is_killed_at_random_moments_loses_nothing(tmp_path: Path) -> None:
    moments = random.Random(6)
    names = [f"n{number:03}" for number in range(90)]
    for number in range(KILLS // 2):
        directory = tmp_path / str(number)
        running = [started(note_it, directory, names[start::3], 7) for start in range(3)]
        enough = moments.randrange(30)
        while len(list(directory.glob("[!.]*.png"))) < enough and running[0].is_alive():
            time.sleep(0.001)
        running[0].kill()
        for process in running:
            process.join(SECONDS)
        assert [process.exitcode for process in running[1:]] == [0, 0]
        with open_ledger(directory, "Step") as ledger:
            states = {name: ledger.state(name, directory / f"{name}.png", "one") for name in names}
        assert {states[name] for name in (*names[1::3], *names[2::3])} == {FileState.UNCHANGED}
        begun = [name for name, state in states.items() if state is FileState.OUTDATED]
        assert set(states.values()) <= {FileState.UNCHANGED, FileState.ABSENT, FileState.OUTDATED}, "none is foreign"
        assert len(begun) <= 1, "the one that it was at"
        assert hidden(directory) == []
        note_it(directory, [name for name, state in states.items() if state is not FileState.UNCHANGED])
        with open_ledger(directory, "Step") as ledger:
            assert {ledger.state(name, directory / f"{name}.png", "one") for name in names} == {FileState.UNCHANGED}
        assert not list(directory.glob("*.journal"))
