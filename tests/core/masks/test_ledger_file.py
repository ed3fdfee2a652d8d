"""A ledger's file: a line for each name, read as it was written; older ones are read too."""

import json
from pathlib import Path

import pytest
from maskloss.core.errors import DatasetError
from maskloss.core.masks.ledger_file import Record, read_ledger, write_ledger

RECORDS = {
    "b/ä": Record("f" * 64, "0" * 64, {"coverage": 0.25, "tiers": {"face": 0.1}, "text": 'two\nlines "quoted"'}),
    "a": Record("e" * 64, None),
}


def test_a_line_for_each_name_in_order(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    write_ledger(path, "BuildMasks", RECORDS)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line[:4] for line in lines] == ['{"st', '"a":', '"b/ä', "}}"]
    assert json.loads(path.read_text(encoding="utf-8"))["step"] == "BuildMasks"
    assert read_ledger(path, "BuildMasks") == RECORDS
    write_ledger(path, "BuildMasks", {})
    assert read_ledger(path, "BuildMasks") == {}


def test_indented_ones_of_earlier_versions_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    stored = {name: {"fingerprint": each.fingerprint, "sha256": each.sha256, "details": dict(each.details)}
              for name, each in RECORDS.items()}  # fmt: skip
    path.write_text(json.dumps({"step": "BuildMasks", "items": stored}, indent=1), encoding="utf-8")
    assert read_ledger(path, "BuildMasks") == RECORDS
    assert read_ledger(tmp_path / "none.json", "BuildMasks") == {}


def test_damaged_ones_and_other_steps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    write_ledger(path, "BuildMasks", RECORDS)
    with pytest.raises(DatasetError, match="holds what BuildMasks wrote"):
        read_ledger(path, "KeepPerson")
    path.write_text(path.read_text(encoding="utf-8")[:-4], encoding="utf-8")
    with pytest.raises(DatasetError, match="is damaged"):
        read_ledger(path, "BuildMasks")
    path.write_text('{"step": "BuildMasks", "items": {"a": {"fingerprint": 1, "sha256": null}}}', encoding="utf-8")
    with pytest.raises(DatasetError, match="is no record"):
        read_ledger(path, "BuildMasks")
