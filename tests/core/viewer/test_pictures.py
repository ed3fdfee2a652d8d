"""Thumbnails and tiles are made once, and show the photograph."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.errors import PathError
from maskloss.core.images import save_image
from maskloss.core.viewer.pictures import Pictures, mask_of, mask_thumbnail
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


def test_the_masks_thumbnail_has_its_levels_and_the_mean_of_all(item: DatasetItem) -> None:
    png, coverage = mask_thumbnail(item)
    assert np.unique(decoded(png)).tolist() == [0, 128]
    assert decoded(png).shape == (177, 256)
    assert coverage == pytest.approx(64 / 255)
    mask_HW, has_mask = mask_of(item)
    assert (mask_HW.shape, has_mask) == ((900, 1300), True)
    bare_HW, has_mask = mask_of(DatasetItem("a", item.media_path, LoadSettings(require_mask=True)))
    assert (bare_HW.min(), has_mask) == (255, False)
