"""Whose parts were guessed is read from Build Masks' ledger alone."""

import json
from pathlib import Path

import pytest
from maskloss.core.dataset.files import MASK_LEDGER
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.report.approximate import approximate_names


@pytest.mark.parametrize(
    ("ledger", "found"),
    [
        ({"step": "BuildMasks", "items": {"set/a": {"details": {"approximate": True}}}}, {"set/a"}),
        ({"step": "BuildMasks", "items": {"set/a": {"details": {"approximate": False}}}}, set()),
        ({"step": "another", "items": {"set/a": {"details": {"approximate": True}}}}, set()),
        ([], set()),
    ],
)
def test_what_the_ledger_says_counts(tmp_path: Path, ledger: object, found: set[str]) -> None:
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / MASK_LEDGER).write_text(json.dumps(ledger))
    masks = (tmp_path / "masks/set/a.png", tmp_path / "elsewhere/b.png", None)
    items = [
        DatasetItem(name, tmp_path / name, LoadSettings(), mask)
        for name, mask in zip(("set/a", "b", "c"), masks, strict=True)
    ]
    assert approximate_names(items) == found
