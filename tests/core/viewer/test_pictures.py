"""Thumbnails and tiles are made once, and show the photograph."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.alpha import weights_to_uint8
from maskloss.core.corrections.override import NO_REVISION
from maskloss.core.corrections.store import CorrectionStore, Patch
from maskloss.core.dataset.corrected import painted_over
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_item
from maskloss.core.errors import PathError
from maskloss.core.images import save_image
from maskloss.core.viewer.pictures import Pictures, mask_of
from PIL import Image


@pytest.fixture
def item(tmp_path: Path) -> DatasetItem:
    rows, columns = np.mgrid[0:900, 0:1300]
    rgb_HWC = np.stack([rows * 255 // 900, columns * 255 // 1300, (rows + columns) % 256], 2).astype(np.uint8)
    rgb_HWC[..., 2] = 90
    save_image(tmp_path / "photos/a.png", rgb_HWC)
    save_image(tmp_path / "masks/a.png", (columns < 650).astype(np.uint8) * 128)
    return DatasetItem("a", tmp_path / "photos/a.png", LoadSettings(), tmp_path / "masks/a.png")


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_the_tiles_of_a_level_put_together_are_the_picture(tmp_path: Path, item: DatasetItem) -> None:
    pictures = Pictures(tmp_path / "kept")
    for level, (width, height) in enumerate([(1300, 900), (650, 450), (325, 225)]):
        whole_HWC = np.zeros((height, width, 3), np.uint8)
        for row in range(0, height, 512):
            for column in range(0, width, 512):
                tile_HWC = decoded(pictures.tile(item, level, column // 512, row // 512))
                whole_HWC[row : row + 512, column : column + 512] = tile_HWC
        shown = np.asarray(Image.open(item.media_path).resize((width, height), Image.Resampling.BOX))
        assert np.abs(whole_HWC.astype(int) - shown).mean() < 2
    for place in [(0, 3, 0), (0, 0, 2), (8, 0, 0), (-1, 0, 0), (0, -1, 0)]:
        with pytest.raises(PathError, match="There is no tile"):
            pictures.tile(item, *place)


def test_they_are_made_once_and_anew_for_another_photograph(tmp_path: Path, item: DatasetItem) -> None:
    first, tile = Pictures(tmp_path / "kept").thumbnail(item), Pictures(tmp_path / "kept").tile(item, 0, 0, 0)
    assert decoded(first).shape == (177, 256, 3)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*.jpg")}
    again = Pictures(tmp_path / "kept")
    assert (again.thumbnail(item), again.tile(item, 0, 0, 0)) == (first, tile)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*.jpg")} == kept
    save_image(item.media_path, np.zeros((300, 200, 3), np.uint8))
    assert decoded(again.thumbnail(item)).shape == (256, 171, 3)


def test_the_masks_thumbnail_has_its_levels_and_the_mean_of_all(tmp_path: Path, item: DatasetItem) -> None:
    png, coverage = Pictures(tmp_path / "kept").mask_thumbnail(item)
    assert np.unique(decoded(png)).tolist() == [0, 128]
    assert decoded(png).shape == (177, 256)
    assert coverage == pytest.approx(64 / 255)
    mask_HW, has_mask = mask_of(item)
    assert (mask_HW.shape, has_mask) == ((900, 1300), True)
    bare_HW, has_mask = mask_of(DatasetItem("a", item.media_path, LoadSettings(require_mask=True)))
    assert (bare_HW.min(), has_mask) == (255, False)


def test_the_masks_thumbnail_is_made_once_for_each_state_of_its_files(tmp_path: Path, item: DatasetItem) -> None:
    pictures, store = Pictures(tmp_path / "kept"), CorrectionStore(tmp_path / "corrections")
    first = pictures.mask_thumbnail(item)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("mask-*.png")}
    assert pictures.mask_thumbnail(item) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("mask-*.png")} == kept
    patch = Patch(0, 0, np.full((900, 1300), 255, np.uint8), np.ones((900, 1300), bool))
    store.paint(item.media_path, (1300, 900), patch, painted_over(item), NO_REVISION)
    corrected = replace(item, correction_path=store.find(item.media_path))
    assert pictures.mask_thumbnail(corrected)[1] == 1
    assert pictures.mask_thumbnail(item) == first
    for value in range(34):
        mask_HW = np.full((900, 1300), value, np.uint8)
        mask_HW[:, :650] = 128
        save_image(item.mask_path, mask_HW)
        assert pictures.mask_thumbnail(item)[1] == pytest.approx((128 + value) / 510, abs=1e-6)
    assert len(list((tmp_path / "kept").rglob("mask-*.png"))) == 32


@pytest.mark.parametrize("mask_size", [(1300, 900), (650, 450), (700, 483)])
def test_a_mask_that_is_read_alone_is_that_of_training(
    tmp_path: Path, item: DatasetItem, mask_size: tuple[int, int]
) -> None:
    mask_HW = np.random.default_rng(1).integers(0, 256, mask_size[::-1], dtype=np.uint8)
    save_image(item.mask_path, mask_HW)
    store = CorrectionStore(tmp_path / "corrections")
    patch = Patch(10, 20, np.full((300, 400), 80, np.uint8), np.ones((300, 400), bool))
    store.paint(item.media_path, (1300, 900), patch, painted_over(item), NO_REVISION)
    for each in (item, replace(item, correction_path=store.find(item.media_path))):
        trained_HW = weights_to_uint8(load_item(each).full_weights_HW)
        assert np.array_equal(mask_of(each)[0], trained_HW)
