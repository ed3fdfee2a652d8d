"""What a ledger and the journals beside it say, of this version and of earlier ones."""

import json
import os
from pathlib import Path

import pytest
from maskloss.core.dataset.files import MASK_LEDGER
from maskloss.core.dataset.ledger_records import LedgerRecords, Record, record_from, records_in, step_of, stored_in
from maskloss.core.errors import DatasetError

RECORDS = {
    "b/ä": Record("f" * 64, "0" * 64, {"coverage": 0.25, "tiers": {"face": 0.1}, "text": 'two\nlines "quoted"'}),
    "a": Record("e" * 64, None),
}


def stored(records: dict[str, Record]) -> dict[str, object]:
    return {name: {"fingerprint": each.fingerprint, "sha256": each.sha256, "details": dict(each.details)}
            for name, each in records.items()}  # fmt: skip


def write_ledger(folder: Path, records: dict[str, Record], indent: int | None = None) -> Path:
    path = folder / MASK_LEDGER
    if indent is not None:
        path.write_text(json.dumps({"step": "Build", "items": stored(records)}, indent=indent), encoding="utf-8")
    else:
        LedgerRecords(path, "Build").join({name: json.dumps(each) for name, each in stored(records).items()})
    return path


def write_journal(folder: Path, name: str, records: dict[str, Record], end: str = "") -> Path:
    path = folder / f"{Path(MASK_LEDGER).stem}-{name}.journal"
    lines = [json.dumps({"name": name, **each}) + "\n" for name, each in stored(records).items()]
    path.write_text("".join(lines) + end)
    return path


def test_a_line_for_each_name_in_order(tmp_path: Path) -> None:
    path = write_ledger(tmp_path, RECORDS)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line[:4] for line in lines] == ['{"st', '"a":', '"b/ä', "}}"]
    assert records_in(tmp_path, "Build") == RECORDS


@pytest.mark.parametrize("indent", [1, None])
def test_those_of_earlier_versions_too_are_looked_up_and_iterated(tmp_path: Path, indent: int | None) -> None:
    write_ledger(tmp_path, RECORDS, indent)
    found = records_in(tmp_path, "Build")
    assert found == RECORDS
    assert (list(found), len(found), bool(found)) == (["a", "b/ä"], 2, True)
    assert found.get("c") is None
    assert records_in(tmp_path, "Another") == {}
    assert step_of(tmp_path / MASK_LEDGER) == "Build"
    assert list(stored_in(tmp_path)) == sorted(stored(RECORDS).items())
    assert list(stored_in(tmp_path, "Another")) == []


def test_where_nothing_was_noted_there_is_nothing(tmp_path: Path) -> None:
    found = records_in(tmp_path / "none", "Build")
    assert (dict(found), len(found), bool(found)) == ({}, 0, False)
    assert (step_of(tmp_path / MASK_LEDGER), list(stored_in(tmp_path))) == (None, [])
    assert not bool(records_in(write_ledger(tmp_path, {}).parent, "Build"))


def test_journals_count_and_the_one_changed_last_counts_most(tmp_path: Path) -> None:
    write_ledger(tmp_path, RECORDS)
    new = {"a": Record("1", "2"), "0": Record("3", None), "c": Record("4", "5", {"x": 1})}
    write_journal(tmp_path, "later", new, '{"name": "torn", "finge')
    write_journal(tmp_path, "zearlier", {"a": Record("6", "7"), "aa": Record("8", None)})
    os.utime(tmp_path / f"{Path(MASK_LEDGER).stem}-zearlier.journal", ns=(0, 10**18))
    found = records_in(tmp_path, "Build")
    assert found == {**RECORDS, "aa": Record("8", None), **new}
    assert list(found) == ["0", "a", "aa", "b/ä", "c"]


def test_a_journal_is_read_on_where_it_grew(tmp_path: Path) -> None:
    path = write_ledger(tmp_path, RECORDS)
    records = LedgerRecords(path, "Build")
    assert not records.journals.look(), "nothing was noted since"
    journal = write_journal(tmp_path, "x", {"c": Record("1", "begun")}, '{"name": "d", "fi')
    assert "c" not in records
    assert records.journals.look()
    assert (records["c"], records.get("d")) == (Record("1", "begun"), None)
    write_journal(tmp_path, "x", {"c": Record("1", "begun"), "d": Record("2", None), "c ": Record("3", None)})
    assert records.journals.look()
    assert (records["d"], records["c "]) == (Record("2", None), Record("3", None))
    journal.unlink()
    assert records.journals.look()
    assert "c" not in records


def test_joining_gives_what_a_dict_gives_and_keeps_the_journals(tmp_path: Path) -> None:
    path = write_ledger(tmp_path, RECORDS, indent=1)
    journal = write_journal(tmp_path, "x", {"a": Record("1", "2"), "c": Record("3", None)})
    records = LedgerRecords(path, "Build")
    records.join({"c": json.dumps({"fingerprint": "4", "sha256": None, "details": {}})})
    expected = {**RECORDS, "a": Record("1", "2"), "c": Record("4", None)}
    assert json.loads(path.read_text(encoding="utf-8")) == {"step": "Build", "items": stored(expected)}
    assert journal.exists()


def test_damaged_ones_and_other_steps_are_refused(tmp_path: Path) -> None:
    path = write_ledger(tmp_path, RECORDS)
    with pytest.raises(DatasetError, match="holds what Build wrote; choose another directory for Keep"):
        LedgerRecords(path, "Keep")
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[:-4], encoding="utf-8")
    with pytest.raises(DatasetError, match=r"is damaged \(it is cut off\); delete it"):
        LedgerRecords(path, "Build")
    path.write_text(whole.replace('"sha256": null', '"sha256": 1234'), encoding="utf-8")
    records = LedgerRecords(path, "Build")
    assert records["b/ä"] == RECORDS["b/ä"]
    for read in (lambda: records["a"], lambda: list(records.records())):
        with pytest.raises(DatasetError, match=r"is damaged .* is no record"):
            read()
    assert records_in(tmp_path, "Build").get("a") is None, "what can be read is"
    with pytest.raises(ValueError, match="is no record"):
        record_from({"fingerprint": 1, "sha256": None})
