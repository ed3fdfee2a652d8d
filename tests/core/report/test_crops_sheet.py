"""The sheet of crops: each photograph with its rectangles, those first that lose the most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut, LoadSettings
from maskloss.core.errors import DatasetError
from maskloss.core.masks.crop_dataset import CropRules, crop_dataset
from maskloss.core.report.crops_sheet import CELL_PX, crops_sheet
from PIL import Image

GREEN, RED = (34, 197, 94), (220, 38, 38)
SIZE = (160, 120)


@pytest.fixture
def item(photograph: Callable[..., Path], mask: Callable[..., Path]) -> Callable[..., DatasetItem]:
    def make(name: str, face: bool = True) -> DatasetItem:
        path = photograph(f"set/{name}.png", SIZE)
        Image.new("RGB", SIZE, (90, 90, 90)).save(path)
        mask_HW = np.zeros(SIZE[::-1], np.uint8)
        mask_HW[70:, 40:120] = 128
        mask_HW[30:70, 60:100] = 255 if face else 80
        return DatasetItem(name, path, LoadSettings((64, 64), bucket_step=16), mask(f"masks/{name}.png", value=mask_HW))

    return make


def sheet(*items: DatasetItem, limit: int = 9, **rules: float) -> np.ndarray:
    _, report = crop_dataset(Dataset(items), CropRules(**{"whole": 1, "face": 1, "margin": 0.2, **rules}))
    return crops_sheet(Dataset(items), report, 1, limit)


def has(sheet_HWC: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(sheet_HWC.astype(int) - colour).max(axis=2) <= 8).sum())


def test_a_crop_is_a_green_rectangle_of_its_size(item: Callable[..., DatasetItem]) -> None:
    narrow, wide = sheet(item("a")), sheet(item("a"), margin=0.6)
    assert narrow.shape[1] >= CELL_PX / 2
    assert 0 < has(narrow, GREEN) < has(wide, GREEN)
    assert has(narrow, RED) == 0


def test_a_crop_that_is_left_out_for_its_size_is_red(item: Callable[..., DatasetItem]) -> None:
    refused = sheet(item("a"), min_face_px=200)
    assert has(refused, RED) > 0
    assert has(refused, GREEN) == 0


def test_those_without_a_crop_come_first_and_the_rest_falls_off_the_limit(item: Callable[..., DatasetItem]) -> None:
    items = item("a"), item("b", face=False), item("c")
    assert has(sheet(*items, limit=1), GREEN) == 0
    one, all_three = sheet(*items, limit=2), sheet(*items)
    assert 0 < has(one, GREEN) < has(all_three, GREEN)
    assert one.shape[0] < all_three.shape[0]


def test_where_all_was_left_out_that_is_shown_and_nothing_at_all_is_an_error(item: Callable[..., DatasetItem]) -> None:
    nobody = Dataset((), (LeftOut(item("a"), "nobody was recognised"),))
    assert has(crops_sheet(nobody, {"items": []}, 2, 4), GREEN) == 0
    with pytest.raises(DatasetError, match="there is nothing to show"):
        crops_sheet(Dataset(()), {"items": []}, 2, 4)
