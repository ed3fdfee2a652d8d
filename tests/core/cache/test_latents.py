"""What is written, and what a change to an input makes new: no more and no less."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.entry_file import COVERAGE, ORIGIN, MaskStorage, read_header, write_entry
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import OneFrame
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import (
    CacheError,
    DatasetError,
    ImageError,
    MaskMissingError,
    PathError,
    SettingError,
)
from PIL import Image
from safetensors import safe_open

Make = Callable[..., DatasetItem]


def states(report: dict) -> dict[str, str]:
    return {row["name"]: row["state"] for row in report["items"]}


def stamps(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in directory.rglob("*") if path.is_file()}


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
        Dataset((item("a", size=(64, 64), mask=mask_HW),)), encoder, tmp_path / "cache", storage
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


def test_batches_hold_one_bucket_and_change_nothing(tmp_path: Path, item: Make, encoder) -> None:
    items = [item(f"i{number}", number, (80, 40) if number % 2 else (40, 40)) for number in range(5)]
    cache, _ = cache_latents(Dataset(tuple(items)), encoder, tmp_path / "batched", batch_size=2)
    assert sorted(encoder.batches) == [1, 2, 2]
    single, _ = cache_latents(Dataset(tuple(items)), encoder, tmp_path / "single")
    assert [entry.name for entry in cache.entries] == [f"i{number}" for number in range(5)]
    for one, other in zip(cache.entries, single.entries, strict=True):
        assert torch.allclose(cache.latent(one), single.latent(other), atol=1e-5)


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
    cache, report = cache_latents(Dataset((picture,)), encoder, tmp_path / "cache", storage)
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


def test_one_frame_gives_control_frames_full_weight_and_the_target_its_mask(
    tmp_path: Path, dataset: Dataset, item: Make, encoder
) -> None:
    control = item("control", 7).media_path
    with_control = Dataset((replace(dataset.items[0], control_path=control), *dataset.items[1:]))
    frames = OneFrame(target_index=1, control_indices=(0, 5))
    plain, _ = cache_latents(with_control, encoder, tmp_path / "plain")
    cache, _ = cache_latents(with_control, encoder, tmp_path / "cache", one_frame=frames)
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
    report = cache_latents(with_control, encoder, tmp_path / "cache", one_frame=frames)[1]
    assert states(report) == {"a": "encoded", "sub/b": "unchanged", "wide": "unchanged"}


@pytest.mark.parametrize("indices", [(1, ()), (1, (1,)), (-1, (0,)), (1, (0, 0))])
def test_frames_that_cannot_be_are_refused(indices: tuple[int, tuple[int, ...]]) -> None:
    with pytest.raises(SettingError, match="target_index is"):
        OneFrame(*indices)


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


def test_a_file_that_vanished_since_the_scan_is_named(tmp_path: Path, dataset: Dataset, encoder) -> None:
    mask_path = dataset.items[0].mask_path
    assert mask_path is not None
    mask_path.unlink()
    with pytest.raises(PathError, match=r"masks/a\.png cannot be read"):
        cache_latents(dataset, encoder, tmp_path / "cache")


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


def test_touching_a_source_makes_nothing_new(tmp_path: Path, dataset: Dataset, encoder) -> None:
    cache_latents(dataset, encoder, tmp_path / "cache")
    encoder.batches = []
    os.utime(dataset.items[0].media_path, ns=(1, 1))
    assert set(states(cache_latents(dataset, encoder, tmp_path / "cache")[1]).values()) == {"unchanged"}
    assert encoder.batches == []
