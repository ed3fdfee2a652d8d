"""What a change to an input makes new: no more and no less."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.entry_file import COVERAGE, ORIGIN, MaskStorage, read_header, write_entry
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.cache.store import open_cache
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.errors import (
    CacheError,
    PathError,
    SettingError,
)

from .states import stamps, states

Make = Callable[..., DatasetItem]


def test_unchanged_work_is_not_done_and_no_file_is_touched(tmp_path: Path, dataset: Dataset, encoder) -> None:
    first, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    before, encoder.batches = stamps(tmp_path / "cache"), []
    second, report = cache_latents(dataset, encoder, tmp_path / "cache")
    assert encoder.batches == []
    assert set(states(report).values()) == {"unchanged"}
    assert stamps(tmp_path / "cache") == before
    assert second.entries == first.entries
    assert second.fingerprint == first.fingerprint


def test_a_changed_mask_is_rewritten_without_the_encoder(tmp_path: Path, dataset: Dataset, item: Make, encoder) -> None:
    first, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    latent = first.latent(first.entries[0])
    encoder.batches = []
    item("a", 0, mask=np.full((40, 40), 255, np.uint8), caption="ohwx person")
    second, report = cache_latents(dataset, encoder, tmp_path / "cache")
    assert encoder.batches == []
    assert states(report) == {"a": "weights rewritten", "sub/b": "unchanged", "wide": "unchanged"}
    assert report["messages"][1] == "Entries: 0 encoded, 1 weights rewritten, 2 unchanged."
    weights = second.weights(second.entries[0])
    assert weights is not None
    assert (weights == 1).all()
    assert torch.equal(second.latent(second.entries[0]), latent)
    assert second.fingerprint != first.fingerprint


@pytest.mark.parametrize("change", ["storage", "mask taken away", "alpha switched on"])
def test_what_concerns_the_weights_alone_calls_no_encoder(tmp_path: Path, item: Make, encoder, change: str) -> None:
    picture = item("a", mask=np.full((40, 40), 128, np.uint8), alpha=np.full((40, 40), 51, np.uint8))
    cache_latents(Dataset((picture,)), encoder, tmp_path / "cache")
    encoder.batches, storage = [], MaskStorage.FLOAT16
    if change == "storage":
        storage = MaskStorage.UINT8
    elif change == "mask taken away":
        picture = replace(picture, mask_path=None)
    else:
        picture = replace(picture, settings=LoadSettings((64, 64), alpha_mask=True))
    cache, report = cache_latents(Dataset((picture,)), encoder, tmp_path / "cache", CacheSettings(storage))
    assert encoder.batches == []
    assert states(report) == {"a": "weights rewritten"}
    origin, coverage = cache.entries[0].origin, cache.entries[0].coverage
    assert (origin, round(coverage, 3)) == {
        "storage": (MaskOrigin.FILE, 0.502),
        "mask taken away": (MaskOrigin.NONE, 1.0),
        "alpha switched on": (MaskOrigin.ALPHA, 0.2),
    }[change]


@pytest.mark.parametrize("change", ["image", "bucket", "encoder"])
def test_what_concerns_the_latent_is_encoded_again(
    tmp_path: Path, dataset: Dataset, item: Make, encoder, change: str
) -> None:
    first, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    encoder.batches = []
    changed = dataset
    if change == "image":
        item("sub/b", 9, caption="ohwx person")
    elif change == "bucket":
        changed = Dataset(tuple(replace(one, settings=LoadSettings((96, 96))) for one in dataset.items))
    else:
        encoder.identity = "other"
    second, report = cache_latents(changed, encoder, tmp_path / "cache")
    expected = {"sub/b"} if change == "image" else {"a", "sub/b", "wide"}
    assert {name for name, state in states(report).items() if state == "encoded"} == expected
    assert sum(encoder.batches) == len(expected)
    assert second.fingerprint != first.fingerprint


def test_a_caption_changes_the_index_only(tmp_path: Path, dataset: Dataset, encoder) -> None:
    first, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    before = {path: stamp for path, stamp in stamps(tmp_path / "cache").items() if path.endswith(".safetensors")}
    changed = Dataset((replace(dataset.items[0], caption="other", repeats=3), *dataset.items[1:]))
    second, report = cache_latents(changed, encoder, tmp_path / "cache")
    assert set(states(report).values()) == {"unchanged"}
    assert (second.entries[0].caption, second.entries[0].repeats) == ("other", 3)
    assert second.fingerprint != first.fingerprint
    after = stamps(tmp_path / "cache")
    assert {path: after[path] for path in before} == before


def test_a_damaged_file_is_made_again(tmp_path: Path, dataset: Dataset, encoder) -> None:
    cache_latents(dataset, encoder, tmp_path / "cache")
    path = tmp_path / "cache/a_0040x0040_demo.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CacheError, match=r"a_0040x0040_demo\.safetensors has \d+ bytes instead of \d+"):
        open_cache(tmp_path / "cache")
    report = cache_latents(dataset, encoder, tmp_path / "cache")[1]
    assert states(report) == {"a": "encoded", "sub/b": "unchanged", "wide": "unchanged"}
    assert open_cache(tmp_path / "cache").latent(open_cache(tmp_path / "cache").entries[0]).shape == (16, 1, 8, 8)


@pytest.mark.parametrize("damage", [{ORIGIN: "../.."}, {ORIGIN: ""}, {COVERAGE: "x"}, {COVERAGE: "nan"}])
def test_a_file_that_says_nothing_of_its_mask_gets_its_weights_again(
    tmp_path: Path, dataset: Dataset, encoder, damage: dict[str, str]
) -> None:
    first, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    path = tmp_path / "cache" / first.entries[0].file
    header = read_header(path)
    weights = first.weights(first.entries[0])
    write_entry(path, first.latent(first.entries[0]), weights, MaskStorage.FLOAT16, {**header.metadata, **damage})
    second, report = cache_latents(dataset, encoder, tmp_path / "cache")
    assert states(report) == {"a": "weights rewritten", "sub/b": "unchanged", "wide": "unchanged"}
    assert (second.entries[0].origin, second.entries[0].coverage) == (
        first.entries[0].origin,
        first.entries[0].coverage,
    )


@pytest.mark.parametrize("indices", [(1, ()), (1, (1,)), (-1, (0,)), (1, (0, 0))])
def test_frames_that_cannot_be_are_refused(indices: tuple[int, tuple[int, ...]]) -> None:
    with pytest.raises(SettingError, match="target_index is"):
        OneFrame(*indices)


def test_a_file_that_vanished_since_the_scan_is_named(tmp_path: Path, dataset: Dataset, encoder) -> None:
    mask_path = dataset.items[0].mask_path
    assert mask_path is not None
    mask_path.unlink()
    with pytest.raises(PathError, match=r"masks/a\.png cannot be read"):
        cache_latents(dataset, encoder, tmp_path / "cache")


def test_touching_a_source_makes_nothing_new(tmp_path: Path, dataset: Dataset, encoder) -> None:
    cache_latents(dataset, encoder, tmp_path / "cache")
    encoder.batches = []
    os.utime(dataset.items[0].media_path, ns=(1, 1))
    assert set(states(cache_latents(dataset, encoder, tmp_path / "cache")[1]).values()) == {"unchanged"}
    assert encoder.batches == []
