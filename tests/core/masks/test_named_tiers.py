"""The names of a dataset's tiers: as Build Masks noted them, or the usual ones."""

import json
from pathlib import Path

import pytest
from maskloss.core.dataset.files import MASK_LEDGER
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.masks.named_tiers import named_tiers


@pytest.fixture
def items(tmp_path: Path) -> list[DatasetItem]:
    masks = (tmp_path / "other/a.png", tmp_path / "masks/b.png")
    return [DatasetItem(mask.stem, tmp_path / f"{mask.stem}.jpg", LoadSettings(), mask) for mask in masks]


def test_the_usual_ones_where_nothing_is_noted(items: list[DatasetItem]) -> None:
    usual = {"face": 255, "hair": 80, "body": 128, "background": 0}
    assert named_tiers([]) == named_tiers(items) == usual


def test_those_of_the_first_ledger_that_tells(tmp_path: Path, items: list[DatasetItem]) -> None:
    details = {"part_values": {"face": 200, "hair": None, "background": 10}, "tier_values": [10, 150, 200]}
    record = {"fingerprint": "f", "sha256": "s", "details": details}
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / MASK_LEDGER).write_text(json.dumps({"step": "BuildMasks", "items": {"b": record}}))
    assert named_tiers(items) == {"face": 200, "hair": 80, "body": 150, "background": 10}
