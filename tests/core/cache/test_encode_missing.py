"""Missing entries are encoded in batches of one size, with their weights on the latent grid."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.entry_file import MaskStorage, read_header, write_entry
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.dataset.items import Dataset, DatasetItem
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import (
    CacheError,
)
from PIL import Image
from safetensors import safe_open

from .states import states

Make = Callable[..., DatasetItem]


def test_latents_are_the_encoders_of_the_bucketed_picture(tmp_path: Path, item: Make, encoder) -> None:
    single = item("a", size=(64, 64))
    cache, _ = cache_latents(Dataset((single,)), encoder, tmp_path / "cache")
    rgb = torch.from_numpy(np.asarray(Image.open(single.media_path)).copy())[None, None].float() / 255
    assert torch.equal(cache.latent(cache.entries[0]), DemoLatentEncoder().encode(rgb)[0])


@pytest.mark.parametrize(
    ("storage", "tolerance"),
    [(MaskStorage.FLOAT16, 2.5e-4), (MaskStorage.FLOAT32, 1e-6), (MaskStorage.UINT8, 0.5 / 255 + 1e-6)],
)
def test_weights_are_the_areas_mean_on_the_latent_grid(
    tmp_path: Path, item: Make, encoder, storage: MaskStorage, tolerance: float
) -> None:
    mask_HW = np.random.default_rng(5).integers(0, 256, (64, 64), dtype=np.uint8)
    cache, report = cache_latents(
        Dataset((item("a", size=(64, 64), mask=mask_HW),)), encoder, tmp_path / "cache", CacheSettings(storage)
    )
    weights = cache.weights(cache.entries[0])
    expected_hw = torch.from_numpy(mask_HW).double().reshape(8, 8, 8, 8).mean(dim=(1, 3)) / 255
    assert weights is not None
    assert weights.dtype == torch.float32
    assert (weights[0, 0] - expected_hw).abs().max() <= tolerance
    assert cache.entries[0].coverage == pytest.approx(mask_HW.mean() / 255, abs=1e-6)
    assert report["items"][0]["coverage"] == pytest.approx(mask_HW.mean() / 255, abs=1e-5)


def test_a_small_blob_is_not_lost(tmp_path: Path, item: Make, encoder) -> None:
    mask_HW = np.zeros((64, 64), np.uint8)
    mask_HW[10:14, 10:14] = 255
    cache, _ = cache_latents(Dataset((item("a", size=(64, 64), mask=mask_HW),)), encoder, tmp_path / "cache")
    weights = cache.weights(cache.entries[0])
    assert weights is not None
    assert weights[0, 0, 1, 1] == 0.25
    assert weights.sum() == 0.25


def test_batches_hold_one_bucket_and_change_nothing(tmp_path: Path, item: Make, encoder) -> None:
    items = [item(f"i{number}", number, (80, 40) if number % 2 else (40, 40)) for number in range(5)]
    cache, _ = cache_latents(Dataset(tuple(items)), encoder, tmp_path / "batched", batch_size=2)
    assert sorted(encoder.batches) == [1, 2, 2]
    single, _ = cache_latents(Dataset(tuple(items)), encoder, tmp_path / "single")
    assert [entry.name for entry in cache.entries] == [f"i{number}" for number in range(5)]
    for one, other in zip(cache.entries, single.entries, strict=True):
        assert torch.allclose(cache.latent(one), single.latent(other), atol=1e-5)


def test_a_latent_that_went_bad_is_not_carried_into_new_weights(
    tmp_path: Path, dataset: Dataset, item: Make, encoder
) -> None:
    first, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    path = tmp_path / "cache" / first.entries[0].file
    latent = first.latent(first.entries[0])
    write_entry(path, latent * float("nan"), None, MaskStorage.FLOAT16, read_header(path).metadata)
    item("a", 0, mask=np.full((40, 40), 255, np.uint8), caption="ohwx person")
    second, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    assert torch.equal(second.latent(second.entries[0]), latent)


def test_one_frame_gives_control_frames_full_weight_and_the_target_its_mask(
    tmp_path: Path, dataset: Dataset, item: Make, encoder
) -> None:
    control = item("control", 7).media_path
    with_control = Dataset((replace(dataset.items[0], control_path=control), *dataset.items[1:]))
    frames = OneFrame(target_index=1, control_indices=(0, 5))
    plain, _ = cache_latents(with_control, encoder, tmp_path / "plain")
    cache, _ = cache_latents(with_control, encoder, tmp_path / "cache", CacheSettings(one_frame=frames))
    first, second = cache.entries[:2]
    assert first.latent_shape == (16, 3, 8, 8)
    assert (first.target_index, first.control_indices) == (1, (0, 5))
    weights, alone = cache.weights(first), plain.weights(plain.entries[0])
    assert weights is not None
    assert alone is not None
    assert torch.equal(weights[0, 1], alone[0, 0])
    assert (weights[0, [0, 2]] == 1).all()
    assert first.coverage == plain.entries[0].coverage
    latent = cache.latent(first)
    assert torch.equal(latent[:, 1], plain.latent(plain.entries[0])[:, 0])
    assert torch.equal(latent[:, 0], latent[:, 2])
    assert not torch.equal(latent[:, 0], latent[:, 1])
    own = cache.latent(second)
    assert torch.equal(own[:, 0], own[:, 1]), "without a control image the source image is it"
    assert cache.weights(second) is None
    with safe_open(tmp_path / "cache" / first.file, "pt") as file:
        assert (file.metadata()["maskloss_frames"], file.metadata()["maskloss_target_index"]) == ("0,1,5", "1")
    item("control", 8)
    report = cache_latents(with_control, encoder, tmp_path / "cache", CacheSettings(one_frame=frames))[1]
    assert states(report) == {"a": "encoded", "sub/b": "unchanged", "wide": "unchanged"}


def test_an_encoder_that_breaks_its_word_is_found_out(tmp_path: Path, dataset: Dataset, encoder) -> None:
    class NotFinite(DemoLatentEncoder):
        def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
            return super().encode(rgb_BTHWC) * float("nan")

    class WrongStride(DemoLatentEncoder):
        spatial_stride = 16

    with pytest.raises(CacheError, match="values that are not finite for a"):
        cache_latents(dataset, NotFinite(), tmp_path / "cache")
    square = Dataset(dataset.items[:1])
    with pytest.raises(CacheError, match=r"gave latents of shape \(1, 16, 1, 8, 8\).*its stride is not 16"):
        cache_latents(square, WrongStride(), tmp_path / "cache")
