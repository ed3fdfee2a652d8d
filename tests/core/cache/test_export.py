"""Our caches as the reference system's files."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.entry_file import MaskStorage
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.dataset.items import Dataset
from maskloss.core.errors import CacheError, SettingError
from safetensors import safe_open


@pytest.fixture
def cache(tmp_path: Path, dataset: Dataset, encoder) -> LatentCache:
    encoder.architecture = "wan"
    return cache_latents(dataset, encoder, tmp_path / "cache", CacheSettings(MaskStorage.UINT8))[0]


def test_names_keys_and_metadata(cache: LatentCache, tmp_path: Path) -> None:
    report = export_reference(cache, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a_0040x0040_wan.safetensors", "b_0040x0040_wan.safetensors", "wide_0080x0040_wan.safetensors",
    ]  # fmt: skip
    with safe_open(tmp_path / "out/wide_0080x0040_wan.safetensors", framework="pt") as file:
        _, frames, height, width = cache.entries[2].latent_shape
        grid = f"{frames}x{height}x{width}"
        assert sorted(file.keys()) == [f"latents_{grid}_float32", f"mask_weights_{grid}_float32"]
        assert file.get_slice(f"mask_weights_{grid}_float32").get_shape() == [1, frames, height, width]
        metadata = file.metadata()
    assert {key: metadata[key] for key in ("architecture", "width", "height", "format_version", "frame_count")} == {
        "architecture": "wan", "width": "80", "height": "40", "format_version": "1.0.1", "frame_count": "1",
    }  # fmt: skip
    assert not any(key.startswith("maskloss") for key in metadata)
    assert report["counts"] == {"entries": 3, "own": 2, "full": 1}
    assert "1 items had no mask (no alpha + no file). Filled with full-weight (255)." in report["messages"]


@pytest.mark.parametrize("target", ["wan", "qi"])
def test_what_was_exported_reads_back_as_it_was(cache: LatentCache, tmp_path: Path, target: str) -> None:
    export_reference(cache, tmp_path / "out", target)
    back = open_cache(tmp_path / "out")
    assert back.architecture == target
    for entry, other in zip(cache.entries, back.entries, strict=True):
        assert torch.allclose(cache.latent(entry), back.latent(other), atol=1e-5)
        own = cache.weights(entry)
        assert torch.equal(back.weights(other), torch.ones(1, *entry.latent_shape[1:]) if own is None else own)


def test_normalised_for_wan_and_raw_for_hunyuan_video(cache: LatentCache, tmp_path: Path) -> None:
    raw = cache.latent(cache.entries[0])
    export_reference(cache, tmp_path / "wan")
    export_reference(replace(cache, architecture="hv"), tmp_path / "hv")
    for name, expected in (("wan", (raw[3] - 0.1075) / 2.6558), ("hv", raw[3])):
        with safe_open(tmp_path / f"{name}/a_0040x0040_{name}.safetensors", framework="pt") as file:
            key = next(key for key in file.keys() if key.startswith("latents_"))  # noqa: SIM118 (no mapping)
            assert torch.allclose(file.get_tensor(key)[3], expected, atol=1e-6)


def test_hunyuan_videos_clips_and_masks_go_both_ways_key_for_key(tmp_path: Path, dataset: Dataset, encoder) -> None:
    encoder.architecture = "hv"
    cache, _ = cache_latents(dataset, encoder, tmp_path / "cache", CacheSettings(MaskStorage.FLOAT32))
    export_reference(cache, tmp_path / "one")
    name = "a_0040x0040_hv.safetensors"
    with safe_open(tmp_path / "one" / name, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
        metadata = file.metadata()
    _, frames, height, width = cache.entries[0].latent_shape
    grid = f"{frames}x{height}x{width}"
    assert set(tensors) == {f"latents_{grid}_float32", f"mask_weights_{grid}_float32"}
    assert torch.equal(tensors[f"latents_{grid}_float32"], cache.latent(cache.entries[0]))
    assert torch.equal(tensors[f"mask_weights_{grid}_float32"], cache.weights(cache.entries[0]))
    assert metadata["architecture"] == "hunyuan_video"

    back = open_cache(tmp_path / "one")
    export_reference(back, tmp_path / "two")
    with safe_open(tmp_path / "two" / name, framework="pt") as file:
        assert file.metadata() == metadata
        assert set(file.keys()) == set(tensors)
        assert all(torch.equal(file.get_tensor(key), tensor) for key, tensor in tensors.items())


def test_without_any_mask_none_is_invented(tmp_path: Path, item, encoder) -> None:
    encoder.architecture = "qi"
    cache, _ = cache_latents(Dataset((item("a"),)), encoder, tmp_path / "cache")
    assert export_reference(cache, tmp_path / "out")["counts"] == {"entries": 1, "none": 1}
    back = open_cache(tmp_path / "out")
    assert back.weights(back.entries[0]) is None


def test_names_that_share_their_last_part_keep_all_of_it(tmp_path: Path, item, encoder) -> None:
    encoder.architecture = "wan"
    cache, _ = cache_latents(Dataset((item("x/a"), item("y/a", 1))), encoder, tmp_path / "cache")
    report = export_reference(cache, tmp_path / "out")
    assert [row["file"] for row in report["items"]] == [
        "x_a_0040x0040_wan.safetensors",
        "y_a_0040x0040_wan.safetensors",
    ]
    cache, _ = cache_latents(Dataset((item("x/a"), item("y/a"), item("x_a"))), encoder, tmp_path / "other")
    with pytest.raises(CacheError, match="Two entries would be written to x_a_0040x0040_wan"):
        export_reference(cache, tmp_path / "clash")


def test_what_cannot_be_exported(cache: LatentCache, tmp_path: Path, dataset: Dataset, encoder, item) -> None:
    with pytest.raises(SettingError, match="'sdxl' cannot be exported; known are wan, qi, hv"):
        export_reference(cache, tmp_path / "out", "sdxl")
    with pytest.raises(CacheError, match="made for wan and cannot be exported as hv"):
        export_reference(cache, tmp_path / "out", "hv")
    one_frame, _ = cache_latents(dataset, encoder, tmp_path / "one", CacheSettings(one_frame=OneFrame()))
    with pytest.raises(CacheError, match="one-frame training"):
        export_reference(one_frame, tmp_path / "out")
    export_reference(cache, tmp_path / "out")
    with pytest.raises(CacheError, match="is there already \\(3 such files\\)"):
        export_reference(cache, tmp_path / "out")
    item("a", 0, mask=np.full((40, 40), 3, np.uint8))
    with pytest.raises(CacheError, match=r"1 entries of .* are stale"):
        export_reference(open_cache(cache.directory), tmp_path / "stale")
