"""The sheet of photographs and their control images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import DatasetError
from maskloss.core.images import save_image
from maskloss.core.report.controls_sheet import CELL_PX, controls_sheet


def saved(path: Path, value: int) -> Path:
    save_image(path, np.full((CELL_PX, CELL_PX, 3), value, np.uint8))
    return path


def test_each_photograph_stands_before_its_control_images(tmp_path: Path) -> None:
    plain = DatasetItem("plain", saved(tmp_path / "plain.png", 10), LoadSettings())
    shown = DatasetItem(
        "shown", saved(tmp_path / "shown.png", 60), LoadSettings(), control_path=saved(tmp_path / "c/0.png", 120),
        more_controls=(saved(tmp_path / "c/1.png", 180),),
    )  # fmt: skip
    sheet_HWC = controls_sheet(Dataset((plain, shown)), columns=3, limit=4)
    row = sheet_HWC[sheet_HWC.shape[0] // 3, :, 0].astype(int)
    found = [value for value in (10, 60, 120, 180) if (row == value).sum() > CELL_PX // 2]
    assert found == [60, 120, 180]
    places = [np.flatnonzero(row == value).mean() for value in found]
    assert places == sorted(places)


def test_without_any_the_dataset_is_shown(tmp_path: Path) -> None:
    plain = DatasetItem("plain", saved(tmp_path / "plain.png", 10), LoadSettings())
    assert controls_sheet(Dataset((replace(plain),)), 4, 4).ndim == 3
    with pytest.raises(DatasetError):
        controls_sheet(Dataset(()), 4, 4)
