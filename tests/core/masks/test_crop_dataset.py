"""Crops of a dataset: pixels and masks cut alike, named, captioned, repeated, left out with a reason, and cached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.entry_file import MaskStorage, read_metadata
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.pictures import source_pictures
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.cache.store import open_cache
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut
from maskloss.core.dataset.load import load_fitted, load_item
from maskloss.core.dataset.merge import merge_datasets
from maskloss.core.dataset.shard import Shard
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import DatasetError, ImageError, SettingError
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.masks.crop_dataset import CropRules, crop_dataset, with_caption
from maskloss.core.masks.exchange import hand_out, set_masks
from maskloss.core.masks.keep_person import PersonOutput, keep_person
from maskloss.core.masks.merge_alpha import merge_dataset_alpha
from maskloss.core.masks.person_search import PersonSearch
from maskloss.core.people.decision import MatchRules
from maskloss.core.report.crops_sheet import crops_sheet
from maskloss.core.report.previews import cache_sheet
from maskloss.core.resample import fit_image, fit_mask, to_latent_grid
from maskloss.core.video.clips import FrameExtraction, VideoSettings
from PIL import Image

from .colour_people import ColourRecognizer, ColumnSegmenter
from .crop_items import FACES, FRAMES, SIZE, cropped, holds, tiers


def test_a_crop_is_an_item_with_a_name_caption_and_repeats_of_its_own(item: Callable[..., DatasetItem]) -> None:
    anna = item(repeats=3)
    rules = replace(FACES, bust=1, caption_face="close-up portrait of")
    dataset, report = cropped(anna, rules=rules)
    assert [each.name for each in dataset.items] == ["anna", "anna~bust", "anna~face"]
    assert dataset.items[0] == anna
    assert [each.repeats for each in dataset.items] == [3, 3, 6]
    assert [each.caption for each in dataset.items] == [
        "anna, smiling", "anna, smiling", "close-up portrait of anna, smiling",
    ]  # fmt: skip
    assert report["counts"] == {"items": 3, "whole": 1, "bust": 1, "face": 1, "left_out": 0, "per_epoch": 12}
    assert dataset.items[2].whole_name == "anna"


def test_picture_and_mask_are_cut_alike_to_the_pixel(item: Callable[..., DatasetItem], tmp_path: Path) -> None:
    anna = item()
    marked_HWC = np.array(Image.open(anna.media_path))
    mask_HW = tiers()
    marked_HWC[50, 100] = (255, 0, 255)
    mask_HW[50, 100] = 17
    Image.fromarray(marked_HWC).save(anna.media_path)
    Image.fromarray(mask_HW).save(str(anna.mask_path))
    # The usual tiers are no longer all there is, so the mask of everyone says where the face is.
    Image.fromarray(tiers()).save(tmp_path / "everyone.png")
    dataset, _ = cropped(replace(anna, tiers_path=tmp_path / "everyone.png"))
    face = dataset.items[1]
    rectangle = face.rectangle()
    assert rectangle is not None
    loaded = load_item(face)
    assert loaded.weights_HW is not None
    np.testing.assert_array_equal(loaded.rgb_HWC, rectangle.cut(marked_HWC))
    place = 50 - rectangle.top, 100 - rectangle.left
    assert tuple(loaded.rgb_HWC[place]) == (255, 0, 255)
    assert loaded.weights_HW[place] == np.float32(17) / np.float32(255)
    assert (np.argwhere(loaded.weights_HW == np.float32(17) / np.float32(255)) == place).all()


def test_weights_on_the_latent_grid_are_those_of_the_arrays_that_were_cut(
    item: Callable[..., DatasetItem], tmp_path: Path
) -> None:
    dataset, _ = cropped(item(), rules=CropRules(whole=0, face=1))
    face = dataset.items[0]
    cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache", CacheSettings(MaskStorage.FLOAT32))
    (entry,) = cache.entries
    rectangle = face.rectangle()
    assert rectangle is not None
    assert entry.name == "anna~face"
    assert entry.image_size == rectangle.size
    assert entry.crop == f"face {rectangle}"
    rgb_HWC = rectangle.cut(np.array(Image.open(face.media_path)))
    weights_HW = rectangle.cut(tiers()).astype(np.float32) / np.float32(255)
    fitted_HW = torch.from_numpy(fit_mask(weights_HW, rectangle.size, entry.bucket))
    expected = to_latent_grid(fitted_HW[None, None, None], entry.latent_shape[2:])[0]
    torch.testing.assert_close(cache.weights(entry), expected, rtol=0, atol=0)
    pixels = torch.from_numpy(fit_image(rgb_HWC, entry.bucket))[None, None].float() / 255
    torch.testing.assert_close(cache.latent(entry), DemoLatentEncoder().encode(pixels)[0], rtol=0, atol=0)
    np.testing.assert_array_equal(source_pictures(cache, entry, (0,))[0], fit_image(rgb_HWC, entry.bucket))
    assert read_metadata(cache.directory / entry.file)["maskloss_crop"] == entry.crop
    reopened = open_cache(cache.directory)
    assert reopened.entries[0] == entry
    assert reopened.entries[0].rectangle == rectangle


def test_what_is_no_crop_is_cached_as_before(item: Callable[..., DatasetItem], tmp_path: Path) -> None:
    dataset, _ = cropped(item(), item("bob"))
    plain, _ = cache_latents(Dataset((item(), item("bob"))), DemoLatentEncoder(), tmp_path / "plain")
    both, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "both")
    index = (plain.directory / "maskloss_index.json").read_text()
    assert '"crop"' not in index
    whole = [entry for entry in both.entries if entry.kind == "whole"]
    assert whole == list(plain.entries)
    for entry in whole:
        assert (both.directory / entry.file).read_bytes() == (plain.directory / entry.file).read_bytes()
    again, report = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "both")
    assert report["counts"]["unchanged"] == 4
    assert again.entries == both.entries


def test_another_rectangle_is_encoded_again_and_another_mask_rewrites_weights(
    item: Callable[..., DatasetItem], tmp_path: Path
) -> None:
    dataset, _ = cropped(item())
    cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    face = dataset.items[1]
    rectangle = face.rectangle()
    assert rectangle is not None
    assert face.crop is not None
    moved = replace(face, crop=replace(face.crop, rectangle=replace(rectangle, left=rectangle.left + 1)))
    _, report = cache_latents(Dataset((dataset.items[0], moved)), DemoLatentEncoder(), tmp_path / "cache")
    assert {row["name"]: row["state"] for row in report["items"]} == {"anna": "unchanged", "anna~face": "encoded"}
    Image.fromarray((tiers() > 0) * np.uint8(255)).save(str(face.mask_path))
    again = Dataset((dataset.items[0], moved))
    cache, report = cache_latents(again, DemoLatentEncoder(), tmp_path / "cache", CacheSettings(MaskStorage.FLOAT32))
    assert {row["state"] for row in report["items"]} == {"weights rewritten"}
    fitted = load_fitted(moved, cache.entries[1].bucket).weights_THW
    assert fitted is not None
    expected = to_latent_grid(torch.from_numpy(fitted)[None, None], cache.entries[1].latent_shape[2:])[0]
    torch.testing.assert_close(cache.weights(cache.entries[1]), expected, rtol=0, atol=0)


@pytest.mark.parametrize("scale", [1, 2])
def test_control_images_are_cut_alike(
    item: Callable[..., DatasetItem], photograph: Callable[..., Path], tmp_path: Path, scale: int
) -> None:
    anna = item()
    picture = Image.open(anna.media_path).resize((SIZE[0] * scale, SIZE[1] * scale), Image.Resampling.NEAREST)
    control = tmp_path / "control.png"
    picture.save(control)
    dataset, _ = cropped(replace(anna, control_path=control), rules=CropRules(whole=0, face=1))
    cache, _ = cache_latents(
        dataset, DemoLatentEncoder(), tmp_path / "cache", CacheSettings(one_frame=OneFrame(1, (0,)))
    )
    latent_CThw = cache.latent(cache.entries[0])
    torch.testing.assert_close(latent_CThw[:, 0], latent_CThw[:, 1], rtol=0, atol=1e-5)
    wrong = photograph("wrong.png", (100, 100))
    odd = Dataset((replace(dataset.items[0], control_path=wrong),))
    with pytest.raises(ImageError, match=r"wrong.png is 100x100 and the photograph of the crop anna~face 200x160"):
        cache_latents(odd, DemoLatentEncoder(), tmp_path / "odd", CacheSettings(one_frame=OneFrame(1, (0,))))


def test_a_mask_of_another_size_is_cut_at_the_same_place(item: Callable[..., DatasetItem]) -> None:
    small = tiers()[::2, ::2]
    dataset, _ = cropped(item("small", small))
    weights_HW = load_item(dataset.items[1]).weights_HW
    rectangle = dataset.items[1].rectangle()
    assert rectangle is not None
    assert weights_HW is not None
    np.testing.assert_array_equal(weights_HW, rectangle.cut(np.kron(small, np.ones((2, 2)))).astype(np.float32) / 255)
    fitted = load_fitted(dataset.items[1], (64, 64)).weights_THW
    assert fitted is not None
    assert fitted.max() > 0.9


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"whole": 0}, "whole, bust and face are all 0"),
        ({"face": -1}, "face is -1; it must be from 0"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"margin": float("nan")}, "margin is nan"),
        ({"min_face_px": -1}, "min_face_px is -1"),
    ],
)
def test_bad_settings_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        CropRules(**values)  # pyright: ignore[reportArgumentType]


def test_captions_go_before_or_around() -> None:
    assert with_caption("", "anna") == "anna"
    assert with_caption(" close-up portrait of ", "anna, smiling") == "close-up portrait of anna, smiling"
    assert with_caption("[caption], close-up", "anna") == "anna, close-up"
    assert with_caption("[caption], close-up", "") == "close-up"


def test_without_any_mask_and_with_a_taken_name_it_is_refused(item: Callable[..., DatasetItem]) -> None:
    with pytest.raises(DatasetError, match="No item of the dataset has a mask"):
        cropped(item(mask_path=None))
    with pytest.raises(DatasetError, match="The dataset has a photograph anna~face, as the face crop of anna"):
        cropped(item(), item("anna~face"))


def test_steps_that_need_whole_photographs_say_the_order(item: Callable[..., DatasetItem], tmp_path: Path) -> None:
    dataset, _ = cropped(item())
    with pytest.raises(DatasetError, match=r"has 1 crops \(anna~face\), .*leave one of the two out"):
        crop_dataset(dataset, FACES)
    with pytest.raises(DatasetError, match=r"connect Set Masks before Crops \(Dataset\)"):
        set_masks(dataset, ["anna"], [np.ones(SIZE[::-1], np.float32)], tmp_path / "set")
    search = PersonSearch(ColourRecognizer(), (None,), ColumnSegmenter(), MatchRules())
    with pytest.raises(DatasetError, match=r"connect Keep Person before Crops \(Dataset\)"):
        keep_person(dataset, search, PersonOutput(tmp_path / "person"))
    with pytest.raises(DatasetError, match=r"connect Build Masks before Crops \(Dataset\)"):
        build_masks(dataset, None, None, tmp_path / "masks2")  # pyright: ignore[reportArgumentType]
    handed = list(hand_out(dataset, 0, 9))
    rectangle = dataset.items[1].rectangle()
    assert rectangle is not None
    assert handed[1].pictures[0].shape[:2] == handed[1].masks[0].shape == rectangle.size[::-1]


def test_merge_alpha_writes_crops_as_pictures_of_their_own(item: Callable[..., DatasetItem], tmp_path: Path) -> None:
    anna = item()
    (tmp_path / "set/anna.txt").write_text(anna.caption)
    anna = replace(anna, caption_path=tmp_path / "set/anna.txt")
    dataset, _ = cropped(anna, rules=replace(FACES, caption_face="close-up of"))
    merged, _ = merge_dataset_alpha(dataset, tmp_path / "rgba")
    before, after = load_item(dataset.items[1]), load_item(merged.items[1])
    np.testing.assert_array_equal(before.rgb_HWC, after.rgb_HWC)
    np.testing.assert_array_equal(before.full_weights_HW, after.full_weights_HW)
    assert (tmp_path / "rgba/anna~face.txt").read_text().strip() == "close-up of anna, smiling"
    assert (tmp_path / "rgba/anna.txt").read_text() == "anna, smiling"
    assert not merged.items[1].is_cut
    cache, _ = cache_latents(merged, DemoLatentEncoder(), tmp_path / "cache")
    assert [entry.kind for entry in cache.entries] == ["whole", "face"]
    controlled = replace(dataset, items=(replace(dataset.items[1], control_path=anna.media_path),))
    with pytest.raises(DatasetError, match="is a crop with a control image"):
        merge_dataset_alpha(controlled, tmp_path / "other")


def test_crops_of_several_datasets_keep_their_names(item: Callable[..., DatasetItem]) -> None:
    dataset, _ = cropped(item("sub/anna"))
    merged, _ = merge_datasets(dataset, dataset)
    assert [each.name for each in merged.items] == [
        "set-1/sub/anna", "set-1/sub/anna~face", "set-2/sub/anna", "set-2/sub/anna~face",
    ]  # fmt: skip
    assert merged.items[1].whole_name == "set-1/sub/anna"


def test_shards_with_crops_make_one_cache(item: Callable[..., DatasetItem], tmp_path: Path) -> None:
    # Only one of the two photographs gives a crop, which the other machine does not know.
    whole = Dataset((item(), item("bob", mask_path=None)))
    for number in (1, 2):
        shard = Shard(number, 2)
        part = shard.take(whole)
        rules = FACES if number == 1 else CropRules()
        cache_latents(crop_dataset(part, rules)[0], DemoLatentEncoder(), tmp_path / "cache", shard=shard)
    assert [entry.name for entry in open_cache(tmp_path / "cache").entries] == ["anna", "anna~face", "bob"]


def test_a_share_of_which_all_is_left_out_crops_nothing(item: Callable[..., DatasetItem]) -> None:
    nobody = Dataset((), (LeftOut(item(), "nobody was recognised"),))
    dataset, report = crop_dataset(nobody, FACES)
    assert dataset == nobody
    assert report["counts"]["items"] == 0
    assert crops_sheet(nobody, report, 4, 12).ndim == 3


def test_clips_are_cached_as_they_are_cut(clips: DatasetItem, tmp_path: Path) -> None:
    single = replace(clips, settings=replace(clips.settings, video=VideoSettings((1,), FrameExtraction.CHUNK)))
    dataset, _ = cropped(single, rules=CropRules(whole=0, face=1))
    cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache", CacheSettings(MaskStorage.FLOAT32))
    assert len(cache.entries) == 10
    assert cache.entries[3].name == "walk~face_00003-001"
    assert cache.entries[3].item_name == "walk~face"
    for number, entry in enumerate(cache.entries):
        rectangle = entry.rectangle
        assert rectangle is not None
        assert holds(rectangle, [FRAMES[number]])
        weights_HW = fit_mask(
            rectangle.cut(tiers(FRAMES[number]).astype(np.float32)) / 255, rectangle.size, entry.bucket
        )
        expected = to_latent_grid(torch.from_numpy(weights_HW)[None, None, None], entry.latent_shape[2:])[0]
        torch.testing.assert_close(cache.weights(entry), expected, rtol=0, atol=1e-6)
        assert np.unique(source_pictures(cache, entry, (0,))[0]).tolist() == [20 * number]
    sheet_HWC, _ = cache_sheet(cache, None)
    assert sheet_HWC.ndim == 3
