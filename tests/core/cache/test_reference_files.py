"""Files as the reference system writes them, key for key: read, trained from, and never touched."""

from pathlib import Path

import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.reference_files import ReferenceArchitecture
from maskloss.core.cache.store import open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, MaskOrigin
from maskloss.core.errors import CacheError, ImageError
from safetensors.torch import save_file

FULL_NAMES = {"wan": "wan", "qi": "qwen_image", "hv": "hunyuan_video"}


def write(
    directory: Path,
    name: str = "kyla001",
    tag: str = "wan",
    shape: tuple[int, ...] = (16, 1, 4, 6),
    weights: torch.Tensor | None = None,
    caption: str | None = "ohwx",
    metadata: dict[str, str] | None = None,
    **more: torch.Tensor,
) -> torch.Tensor:
    """One picture's cache files; returns the latents that are in them."""
    directory.mkdir(parents=True, exist_ok=True)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(len(name)))
    grid = "x".join(str(length) for length in shape[1:])
    tensors = {f"latents_{grid}_float32": latents, **more}
    if weights is not None:
        tensors[f"mask_weights_{grid}_float32"] = weights
    own = {"architecture": FULL_NAMES.get(tag, tag), "width": "96", "height": "64", "format_version": "1.0.1"}
    save_file(tensors, directory / f"{name}_0096x0064_{tag}.safetensors", {**own, **(metadata or {})})
    if caption is not None:
        text = {"varlen_t5_bfloat16": torch.zeros(3, 8, dtype=torch.bfloat16)}
        save_file(text, directory / f"{name}_{tag}_te.safetensors", {"architecture": "wan", "caption1": caption})
    return latents


@pytest.mark.parametrize("tag", ["wan", "qi"])
def test_normalised_latents_become_raw(tmp_path: Path, tag: str) -> None:
    stored = write(tmp_path, tag=tag)
    cache = open_cache(tmp_path)
    raw = cache.latent(cache.entries[0])
    # Channel 0 has mean -0.7571 and deviation 2.8184, channel 15 has -0.2921 and 1.9160.
    assert torch.allclose(raw[0], stored[0] * 2.8184 - 0.7571)
    assert torch.allclose(raw[15], stored[15] * 1.9160 - 0.2921)
    assert (cache.architecture, cache.reference) == (tag, ReferenceArchitecture(tag))


def test_hunyuan_videos_latents_are_raw_already(tmp_path: Path) -> None:
    stored = write(tmp_path, tag="hv")
    cache = open_cache(tmp_path)
    assert torch.equal(cache.latent(cache.entries[0]), stored)


@pytest.mark.parametrize("architecture", list(ReferenceArchitecture))
def test_the_two_ways_are_inverse(architecture: ReferenceArchitecture) -> None:
    latent = torch.randn(16, 1, 3, 3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(architecture.to_raw(architecture.from_raw(latent)), latent, atol=1e-6)


def test_names_captions_sizes_and_weights(tmp_path: Path) -> None:
    weights = torch.full((1, 1, 4, 6), 0.25)
    write(tmp_path, weights=weights)
    write(tmp_path, "my_photo_2", caption=None)
    write(tmp_path, "film_00017-005", shape=(16, 2, 4, 6), caption=None)
    save_file({"llm_float32": torch.zeros(1)}, tmp_path / "film_wan_te.safetensors", {"caption1": "a film"})
    cache = open_cache(tmp_path)
    film, kyla, photo = cache.entries
    assert [entry.name for entry in cache.entries] == ["film_00017-005", "kyla001", "my_photo_2"]
    assert (film.caption, film.latent_shape) == ("a film", (16, 2, 4, 6))
    assert (kyla.caption, kyla.image_size, kyla.bucket) == ("ohwx", (96, 64), (48, 32))
    assert (kyla.origin, kyla.coverage, photo.origin) == (MaskOrigin.FILE, 0.25, MaskOrigin.NONE)
    assert torch.equal(cache.weights(kyla), weights)
    assert cache.weights(photo) is None
    assert "1 entries have no caption beside them, as my_photo_2." in cache.notes
    with pytest.raises(ImageError, match="another trainer cached it"):
        kyla.source_path.exists()


def test_text_is_cached_beside_without_touching_their_files(tmp_path: Path, text_encoder) -> None:
    write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    cache, report = cache_text(open_cache(tmp_path), text_encoder)
    assert text_encoder.captions == ["", "ohwx"]
    assert report["counts"]["encoded"] == 2
    assert cache.missing_captions() == ()
    assert set(cache.text(cache.entries[0])) == set(text_encoder.encode("ohwx"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    write(tmp_path, "later")
    assert len(open_cache(tmp_path).entries) == 2, "what the other trainer adds is seen"


def test_a_file_that_changed_changes_the_fingerprint(tmp_path: Path) -> None:
    write(tmp_path)
    before = open_cache(tmp_path).fingerprint
    assert open_cache(tmp_path).fingerprint == before
    write(tmp_path, weights=torch.ones(1, 1, 4, 6))
    assert open_cache(tmp_path).fingerprint != before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tag": "fk"}, r"is for the architecture 'fk'; known are wan, qwen_image, hunyuan_video"),
        ({"metadata": {"architecture": "framepack"}}, "is for the architecture 'framepack'"),
        ({"metadata": {"architecture": ""}, "tag": "sdxl"}, "is for the architecture 'sdxl'"),
        ({"metadata": {"format_version": "1.0.0"}}, r"has the format 1\.0\.0 instead of 1\.0\.1"),
        ({"shape": (48, 1, 4, 6)}, "has latents of 48 channels, 16 are known for wan"),
        ({"latents_control_1x4x6_float32": torch.zeros(16, 1, 4, 6)}, "holds latents_control_1x4x6_float32 besides"),
        ({"weights": torch.full((1, 1, 4, 6), 2.0)}, r"mask_weights are not all in \[0, 1\]"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, values: dict, message: str) -> None:
    write(tmp_path, **values)
    with pytest.raises(CacheError, match=message):
        open_cache(tmp_path)


def test_two_models_files_and_damaged_ones(tmp_path: Path) -> None:
    write(tmp_path / "two")
    write(tmp_path / "two", tag="qi")
    with pytest.raises(CacheError, match="are for different models"):
        open_cache(tmp_path / "two")
    write(tmp_path / "cut")
    path = tmp_path / "cut/kyla001_0096x0064_wan.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CacheError, match=r"kyla001_0096x0064_wan\.safetensors cannot be used"):
        open_cache(tmp_path / "cut")
    write(tmp_path / "mark")
    (tmp_path / "mark/text").mkdir()
    (tmp_path / "mark/text/maskloss_text.json").write_text("[]")
    with pytest.raises(CacheError, match=r"maskloss_text\.json is damaged"):
        open_cache(tmp_path / "mark")


def test_our_own_files_without_their_index_are_not_taken_for_theirs(tmp_path: Path, dataset: Dataset, encoder) -> None:
    cache_latents(dataset, encoder, tmp_path / "cache")
    (tmp_path / "cache/maskloss_index.json").unlink()
    with pytest.raises(CacheError, match="There is no cache in"):
        open_cache(tmp_path / "cache")
    path = tmp_path / "cache/a_0040x0040_demo.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    cache_latents(dataset, encoder, tmp_path / "cache")
    assert len(open_cache(tmp_path / "cache").entries) == 3


def test_nothing_is_cached_into_their_directory(tmp_path: Path, dataset: Dataset, encoder) -> None:
    write(tmp_path / "theirs")
    with pytest.raises(CacheError, match="is another trainer's cache, which is only read"):
        cache_latents(dataset, encoder, tmp_path / "theirs")
    assert encoder.batches == []


def test_a_text_file_of_theirs_that_is_cut_off_is_named_with_who_makes_it_again(tmp_path: Path) -> None:
    write(tmp_path)
    text = tmp_path / "kyla001_wan_te.safetensors"
    text.write_bytes(text.read_bytes()[:40])
    with pytest.raises(CacheError, match=r"kyla001_wan_te\.safetensors cannot be used.*that trainer's own caching"):
        open_cache(tmp_path)
