"""Caching a dataset: the files, the report, and going on after an interruption."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.errors import (
    CacheError,
    DatasetError,
    ImageError,
    MaskMissingError,
    PathError,
    SettingError,
)
from safetensors import safe_open

from .states import states

Make = Callable[..., DatasetItem]


def entry(cache: LatentCache, name: str):
    return next(entry for entry in cache.entries if entry.name == name)


def test_files_are_named_keyed_and_tagged_as_the_reference_systems(tmp_path: Path, dataset: Dataset, encoder) -> None:
    cache, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    assert [entry.file for entry in cache.entries] == [
        "a_0040x0040_demo.safetensors", "sub/b_0040x0040_demo.safetensors", "wide_0080x0040_demo.safetensors",
    ]  # fmt: skip
    with safe_open(tmp_path / "cache/a_0040x0040_demo.safetensors", "pt") as file:
        metadata = file.metadata()
        assert sorted(file.keys()) == ["latents_1x8x8_float32", "mask_weights_1x8x8_float16"]
        assert file.get_tensor("latents_1x8x8_float32").shape == (16, 1, 8, 8)
        assert file.get_tensor("mask_weights_1x8x8_float16").shape == (1, 1, 8, 8)
    assert {key: metadata[key] for key in ("architecture", "width", "height", "format_version", "frame_count")} == {
        "architecture": "demo", "width": "40", "height": "40", "format_version": "1.0.1", "frame_count": "1",
    }  # fmt: skip
    assert (metadata["maskloss_latents"], metadata["maskloss_origin"], metadata["maskloss_bucket"]) == (
        "raw", "file", "64x64",
    )  # fmt: skip
    with safe_open(tmp_path / "cache/sub/b_0040x0040_demo.safetensors", "pt") as file:
        assert list(file.keys()) == ["latents_1x8x8_float32"]


def test_the_report_says_where_masks_came_from_in_the_kept_words(
    tmp_path: Path, dataset: Dataset, item: Make, encoder
) -> None:
    reads_alpha = LoadSettings((64, 64), alpha_mask=True)
    with_alpha = item("alpha", 3, alpha=np.full((40, 40), 51, np.uint8), settings=reads_alpha)
    both = Dataset((*dataset.items, with_alpha))
    cache, report = cache_latents(both, encoder, tmp_path / "cache")
    assert report["messages"] == [
        "Mask sources: alpha=1, file=2, none=1",
        "Entries: 4 encoded, 0 weights rewritten, 0 unchanged.",
        "1 items had no mask (no alpha + no file). Filled with full-weight (255).",
    ]
    assert cache.origin_counts() == {MaskOrigin.ALPHA: 1, MaskOrigin.FILE: 2, MaskOrigin.NONE: 1}
    assert entry(cache, "alpha").coverage == pytest.approx(0.2)
    assert entry(cache, "wide").coverage == 0
    assert entry(cache, "sub/b").coverage == 1
    assert cache.weights(entry(cache, "sub/b")) is None
    black = cache.weights(entry(cache, "wide"))
    assert black is not None
    assert not black.any()


def test_items_that_are_gone_leave_orphans_that_are_not_used(tmp_path: Path, dataset: Dataset, item, encoder) -> None:
    cache_latents(dataset, encoder, tmp_path / "cache")
    cache, report = cache_latents(Dataset(dataset.items[:1]), encoder, tmp_path / "cache")
    assert [entry.name for entry in cache.entries] == ["a"]
    assert report["orphans"] == ["sub/b_0040x0040_demo.safetensors", "wide_0080x0040_demo.safetensors"]
    assert "2 files in" in report["messages"][-1]
    item("sub/b", 1, (48, 48))
    report = cache_latents(dataset, encoder, tmp_path / "cache")[1]
    assert states(report)["sub/b"] == "encoded"
    assert report["orphans"] == ["sub/b_0040x0040_demo.safetensors"], "an image of another size has another file"


def test_a_lost_or_damaged_index_is_made_from_the_files(tmp_path: Path, dataset: Dataset, encoder) -> None:
    first, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    encoder.batches = []
    for damage in (Path.unlink, lambda path: path.write_text("{")):
        damage(tmp_path / "cache/maskloss_index.json")
        second, report = cache_latents(dataset, encoder, tmp_path / "cache")
        assert set(states(report).values()) == {"unchanged"}
        assert second.fingerprint == first.fingerprint
    assert encoder.batches == []


def test_broken_off_it_does_not_open_and_goes_on_where_it_stopped(tmp_path: Path, dataset: Dataset, encoder) -> None:
    class Impatient:
        def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
            if done == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache_latents(dataset, encoder, tmp_path / "cache", progress=Impatient())
    with pytest.raises(CacheError, match="was broken off; run CacheLatents again"):
        open_cache(tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.part*"))
    encoder.batches = []
    cache, report = cache_latents(dataset, encoder, tmp_path / "cache")
    assert sum(encoder.batches) == 1
    assert sorted(states(report).values()) == ["encoded", "unchanged", "unchanged"]
    assert len(cache.entries) == 3


def test_a_required_mask_is_asked_for_before_anything_is_encoded(tmp_path: Path, dataset: Dataset, encoder) -> None:
    required = LoadSettings((64, 64), require_mask=True)
    strict = Dataset(tuple(replace(one, settings=required) for one in dataset.items))
    with pytest.raises(MaskMissingError) as caught:
        cache_latents(strict, encoder, tmp_path / "cache")
    assert str(caught.value) == (
        "require_mask=true but no mask found for sub/b (no alpha channel + no matching file in mask_directory)"
    )
    assert encoder.batches == []
    assert not (tmp_path / "cache").exists()
    cache_latents(dataset, encoder, tmp_path / "cache")
    with pytest.raises(MaskMissingError):
        cache_latents(strict, encoder, tmp_path / "cache")


def test_a_mask_of_another_aspect_stops_the_caching(tmp_path: Path, item: Make, encoder) -> None:
    with pytest.raises(ImageError, match="the mask of a is 30x40 and its image 40x40"):
        cache_latents(Dataset((item("a", mask=np.zeros((40, 30), np.uint8)),)), encoder, tmp_path / "cache")


def test_what_cannot_be_cached_says_so(tmp_path: Path, dataset: Dataset, item: Make, encoder) -> None:
    with pytest.raises(DatasetError, match="has no items"):
        cache_latents(Dataset(()), encoder, tmp_path / "cache")
    with pytest.raises(SettingError, match="batch_size is 0"):
        cache_latents(dataset, encoder, tmp_path / "cache", batch_size=0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(PathError, match="is a file; give a folder"):
        cache_latents(dataset, encoder, tmp_path / "file")
    odd = item("odd", settings=LoadSettings((60, 60), enable_bucket=False))
    with pytest.raises(SettingError, match="odd is to be trained at 60x60, but the sides must be multiples of 8 px"):
        cache_latents(Dataset((odd,)), encoder, tmp_path / "cache")
