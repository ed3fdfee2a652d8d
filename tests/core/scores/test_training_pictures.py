"""What is remembered of training photographs: their hashes, and the backgrounds of those that have a mask."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from maskloss.core.cache.latents import cache_latents
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import DatasetError
from maskloss.core.images import save_image
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.scores.backgrounds import describe_background
from maskloss.core.scores.training_pictures import LONGEST_PX, from_cache, from_dataset, masks_for_faces

SETTINGS = LoadSettings(resolution=(128, 128), bucket_step=16)


def scene(seed: int, size: int = 256) -> np.ndarray:
    coarse_HWC = np.random.default_rng(seed).integers(20, 235, (8, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse_HWC, (size, size), interpolation=cv2.INTER_NEAREST)


def item(tmp_path: Path, name: str, seed: int, masked: bool, size: int = 256) -> DatasetItem:
    photograph, mask = tmp_path / f"set/{name}.png", tmp_path / f"masks/{name}.png"
    save_image(photograph, scene(seed, size))
    if masked:
        mask_HW = np.zeros((size, size), np.uint8)
        mask_HW[size // 4 : 3 * size // 4, size // 4 : 3 * size // 4] = 255
        save_image(mask, mask_HW)
    return DatasetItem(name, photograph, SETTINGS, mask if masked else None)


def test_photographs_are_known_by_name_and_backgrounds_by_their_masks(tmp_path: Path) -> None:
    dataset = Dataset((item(tmp_path, "a", 1, True), item(tmp_path, "b", 2, False)))
    known = from_dataset(dataset)
    assert known.hashes.nearest(scene(2)) == ("b", 1.0)
    assert len(known.backgrounds) == 1
    outside_HW = np.ones((256, 256), bool)
    outside_HW[64:192, 64:192] = False
    same_K, other_K = (describe_background(scene(seed), outside_HW) for seed in (1, 5))
    assert known.nearest_background(same_K) == pytest.approx(1, abs=1e-5)
    assert known.nearest_background(other_K) < 0.9


def test_where_no_photograph_has_a_mask_no_background_is_near(tmp_path: Path) -> None:
    known = from_dataset(Dataset((item(tmp_path, "a", 1, False),)))
    assert known.nearest_background(np.ones(4, np.float32)) is None


def test_large_photographs_are_remembered_small(tmp_path: Path) -> None:
    known = from_dataset(Dataset((item(tmp_path, "large", 3, True, 2 * LONGEST_PX),)))
    assert known.hashes.nearest(scene(3))[1] > 0.95
    assert len(known.backgrounds) == 1


def test_what_cannot_be_read_is_named_and_nothing_at_all_is_an_error(tmp_path: Path) -> None:
    dataset = Dataset((item(tmp_path, "a", 1, False), item(tmp_path, "b", 2, False)))
    dataset.items[0].media_path.unlink()
    assert from_dataset(dataset).unreadable == ("a",)
    dataset.items[1].media_path.write_bytes(b"no picture")
    with pytest.raises(DatasetError, match="None of the 2 training photographs can be read"):
        from_dataset(dataset)


def test_a_cache_remembers_the_photographs_that_it_was_made_from(tmp_path: Path) -> None:
    dataset = Dataset((item(tmp_path, "a", 1, True), item(tmp_path, "b", 2, False)))
    cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    known = from_cache(cache)
    name, alike = known.hashes.nearest(scene(1))
    assert name.startswith("a")
    assert alike > 0.95
    assert len(known.backgrounds) == 1


def test_makers_of_masks_whose_licence_forbids_it_are_named(tmp_path: Path) -> None:
    dataset = Dataset((item(tmp_path, "a", 1, True),))
    assert masks_for_faces(dataset) == ()
    with open_ledger(tmp_path / "masks", "BuildMasks") as ledger:
        ledger.finish("a", "", tmp_path / "masks/a.png", {"forbids_biometrics": "sapiens2 seg"})
    (warning,) = masks_for_faces(
        Dataset((DatasetItem("a", tmp_path / "set/a.png", SETTINGS, tmp_path / "masks/a.png"),))
    )
    assert "sapiens2 seg" in warning
