"""Crops in the leakage experiment: those that the pack cuts out of photograph files, and what a cache holds of them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.dataset.crop import CropKind
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_fitted
from maskloss.core.images import save_image
from maskloss.core.masks.crop_dataset import CropRules, crop_dataset

from benchmarks.leakage.dataset import (
    Grid,
    MaskKind,
    draw_crop,
    draw_mask,
    draw_training_scenes,
    make_cache,
)
from benchmarks.leakage.network import decode_latents
from benchmarks.leakage.photograph import PHOTOGRAPH_SCALE
from benchmarks.leakage.world import BACKGROUNDS, PLANTED, SUBJECTS, Scene, background_picture, render_scene

SCENES = draw_training_scenes(0)
BOTH = CropRules(bust=1, face=2, caption_face="[caption] closeup")


def test_a_finer_drawing_shows_the_same_scene() -> None:
    for subject, background in zip(SUBJECTS, BACKGROUNDS, strict=True):
        scene = Scene(subject, "near", "left", background, bystander=SUBJECTS[1], bystander_place="right")
        fine_HWC = render_scene(scene, 4)
        assert fine_HWC.shape == (128, 128, 3)
        averaged_HWC = fine_HWC.reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
        assert np.abs(averaged_HWC - render_scene(scene)).mean() < 0.06
        assert np.abs(averaged_HWC - render_scene(Scene(subject, "far", "left", background))).mean() > 0.07
    with pytest.raises(ValueError, match="unknown background"):
        background_picture("beach", scale=2)


@pytest.mark.parametrize("index", range(6))
def test_a_crop_is_the_one_that_the_pack_cuts_out_of_a_file(index: int, tmp_path: Path) -> None:
    scene = SCENES[index]
    save_image(tmp_path / "zoe.png", (render_scene(scene, PHOTOGRAPH_SCALE) * 255).round().astype(np.uint8))
    mask_HW = draw_mask(scene, MaskKind.TIERS, PHOTOGRAPH_SCALE)
    save_image(tmp_path / "zoe_mask.png", (mask_HW * 255).round().astype(np.uint8))
    settings = LoadSettings(resolution=(32, 32), enable_bucket=False)
    item = DatasetItem("zoe", tmp_path / "zoe.png", settings, tmp_path / "zoe_mask.png")
    cropped, _ = crop_dataset(Dataset((item,)), CropRules(whole=0, bust=1, face=1))
    assert [each.name for each in cropped.items] == ["zoe~bust", "zoe~face"]
    for each in cropped.items:
        loaded = load_fitted(each, (32, 32))
        picture_HWC, weights_HW = draw_crop(scene, MaskKind.TIERS, each.crop.kind, 0.3)
        assert np.array_equal((picture_HWC * 255).round(), loaded.rgb_THWC[0])
        assert np.abs(weights_HW - loaded.weights_THW[0]).max() < 1e-6


def test_a_crop_shows_more_of_the_face_and_less_of_the_background() -> None:
    """But for a bust near by: in this world that is the whole figure."""
    for scene, kind in product(SCENES, CropKind):
        whole_HW = draw_mask(scene, MaskKind.TIERS)
        mask_HW = draw_crop(scene, MaskKind.TIERS, kind, 0.3)[1]
        if kind is CropKind.FACE or scene.size == "far":
            assert (mask_HW == 1).sum() > 1.3 * (whole_HW == 1).sum()
            assert (mask_HW == 0).sum() < (whole_HW == 0).sum()


def test_a_cache_holds_whole_pictures_and_crops_with_their_captions_and_repeats() -> None:
    cache = make_cache(SCENES, MaskKind.TIERS, Grid.AREA, False, BOTH)
    assert [entry.name for entry in cache.entries[:3]] == ["picture_00", "picture_00~bust", "picture_00~face"]
    assert [entry.repeats for entry in cache.entries[:3]] == [1, 1, 2]
    caption = f"zoe figure {SCENES[0].size} {SCENES[0].place}"
    assert [entry.caption for entry in cache.entries[:3]] == [caption, caption, f"{caption} closeup"]
    plain = make_cache(SCENES, MaskKind.TIERS, Grid.AREA, False)
    for mine, theirs in zip(cache.entries[::3], plain.entries, strict=True):
        assert torch.equal(cache.latent(mine), plain.latent(theirs))
        assert torch.equal(cache.weights(mine), plain.weights(theirs))
    face_HWC = decode_latents(cache.latent(cache.entries[2])[None])[0].numpy()
    assert np.allclose(face_HWC, draw_crop(SCENES[0], MaskKind.TIERS, CropKind.FACE, 0.3)[0], atol=1e-5)
    alone = make_cache(SCENES, MaskKind.TIERS, Grid.AREA, False, CropRules(whole=0, face=1))
    assert {entry.name.partition("~")[2] for entry in alone.entries} == {"face"}
    assert {scene.background for scene in SCENES} == {PLANTED}
