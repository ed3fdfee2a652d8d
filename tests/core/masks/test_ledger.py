"""Files of ours are told from a person's, and a step that is killed loses nothing."""

import json
from pathlib import Path

import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.errors import DatasetError, DiskError
from maskloss.core.masks.ledger import FileState, open_ledger, target_for


def written(directory: Path, name: str, fingerprint: str, content: str = "ours") -> Path:
    target = directory / f"{name}.png"
    with open_ledger(directory, "Step") as ledger:
        ledger.begin(name, fingerprint)
        target.write_text(content)
        ledger.finish(name, fingerprint, target, {"coverage": 0.5})
    return target


def state(directory: Path, name: str, fingerprint: str) -> FileState:
    with open_ledger(directory, "Step") as ledger:
        return ledger.state(name, directory / f"{name}.png", fingerprint)


def test_every_state_a_target_can_be_in(tmp_path: Path) -> None:
    assert state(tmp_path, "a", "one") is FileState.ABSENT
    assert not list(tmp_path.iterdir()), "looking writes nothing"
    target = written(tmp_path, "a", "one")
    assert state(tmp_path, "a", "one") is FileState.UNCHANGED
    assert state(tmp_path, "a", "two") is FileState.OUTDATED
    target.write_text("edited")
    assert state(tmp_path, "a", "one") is FileState.EDITED
    target.unlink()
    assert state(tmp_path, "a", "one") is FileState.ABSENT
    (tmp_path / "b.png").write_text("someone's")
    assert state(tmp_path, "b", "one") is FileState.FOREIGN


def test_a_decision_without_a_file_is_remembered(tmp_path: Path) -> None:
    with open_ledger(tmp_path, "Step") as ledger:
        ledger.finish("a", "one", None, {"reason": "nobody"})
    assert state(tmp_path, "a", "one") is FileState.UNCHANGED
    assert state(tmp_path, "a", "two") is FileState.ABSENT
    with open_ledger(tmp_path, "Step") as ledger:
        record = ledger.record("a")
    assert record is not None
    assert record.details == {"reason": "nobody"}
    (tmp_path / "a.png").write_text("someone's")
    assert state(tmp_path, "a", "one") is FileState.FOREIGN


def test_an_interrupt_keeps_what_was_done(tmp_path: Path) -> None:
    def interrupted() -> None:
        with open_ledger(tmp_path, "Step") as ledger:
            target = tmp_path / "a.png"
            target.write_text("ours")
            ledger.finish("a", "one", target, {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert state(tmp_path, "a", "one") is FileState.UNCHANGED
    assert sorted(path.name for path in tmp_path.iterdir()) == [".maskloss_masks.json", "a.png"]


def test_a_killed_step_is_taken_up_from_its_journal(tmp_path: Path) -> None:
    # Killed: the context never closes, the last line of the journal is torn.
    context = open_ledger(tmp_path, "Step")
    ledger = context.__enter__()
    for name in ("done", "begun"):
        (tmp_path / f"{name}.png").write_text("ours")
    ledger.finish("done", "one", tmp_path / "done.png", {})
    ledger.begin("begun", "one")
    (journal,) = tmp_path.glob(".maskloss_masks-*.journal")
    journal.write_text(journal.read_text() + '{"name": "torn", "finge')
    assert (tmp_path / ".maskloss_masks.json").exists(), "the directory is marked before the first file"
    assert state(tmp_path, "done", "one") is FileState.UNCHANGED
    assert state(tmp_path, "begun", "one") is FileState.OUTDATED, "half-finished work is ours, to be done again"
    assert state(tmp_path, "torn", "one") is FileState.ABSENT


def test_a_step_killed_twice_loses_nothing(tmp_path: Path) -> None:
    # The first kill leaves a torn line; what the second run notes must not be hung onto it.
    for names in ("ab", "cd"):
        before = set(tmp_path.glob("*.journal"))
        ledger = open_ledger(tmp_path, "Step").__enter__()
        for name in names:
            (tmp_path / f"{name}.png").write_text("ours")
            ledger.finish(name, "one", tmp_path / f"{name}.png", {})
        (journal,) = set(tmp_path.glob("*.journal")) - before
        journal.write_text(journal.read_text() + '{"name": "torn", "finge')
    assert [state(tmp_path, name, "one") for name in "abcd"] == [FileState.UNCHANGED] * 4


def test_a_directory_serves_one_step(tmp_path: Path) -> None:
    written(tmp_path, "a", "one")
    with (
        pytest.raises(DatasetError, match="holds what Step wrote; choose another directory for Other"),
        open_ledger(tmp_path, "Other"),
    ):
        pass


@pytest.mark.parametrize("content", ["{", "[]", '{"step": "Step"}', '{"step": "Step", "items": {"a": {"x": 1}}}'])
def test_a_damaged_ledger_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / ".maskloss_masks.json").write_text(content)
    with pytest.raises(DatasetError, match=r"\.maskloss_masks\.json is damaged"), open_ledger(tmp_path, "Step"):
        pass


def test_the_ledger_is_readable_json(tmp_path: Path) -> None:
    written(tmp_path, "a", "one")
    stored = json.loads((tmp_path / ".maskloss_masks.json").read_text())
    assert stored["step"] == "Step"
    assert stored["items"]["a"]["details"] == {"coverage": 0.5}


def test_output_beside_the_photographs_is_refused(tmp_path: Path) -> None:
    item = DatasetItem("sub/a", tmp_path / "set/sub/a.jpg", LoadSettings())
    with pytest.raises(DatasetError, match="would lie beside the photographs"):
        target_for(item, tmp_path / "set")
    assert target_for(item, tmp_path / "out") == tmp_path / "out/sub/a.png"


def test_the_journal_of_a_process_that_was_killed_when_all_was_done_is_taken_in(tmp_path: Path) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"made")
    with open_ledger(tmp_path, "Step") as ledger:
        ledger.begin("a", "f")
        ledger.finish("a", "f", target, {})
        (journal,) = tmp_path.glob("*.journal")
        content, host = journal.read_bytes(), journal.name.rsplit("-", 4)
    # The same host and process number in an earlier life.
    left = tmp_path / "-".join([host[0], host[1], host[2], "00000000", host[4]])
    left.write_bytes(content)
    with open_ledger(tmp_path, "Step") as ledger:
        assert ledger.state("a", target, "f") is FileState.UNCHANGED
    assert not list(tmp_path.glob("*.journal"))
    with open_ledger(tmp_path, "Step") as ledger:
        assert ledger.state("a", target, "f") is FileState.UNCHANGED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_named_and_the_ledger_holds_what_the_journal_could_not(tmp_path: Path) -> None:
    with open_ledger(tmp_path, "Step") as ledger:
        written_by(ledger, tmp_path, "a")
        ledger._journal.close()
        ledger._journal = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115
        with pytest.raises(DiskError, match=r"\.journal cannot be written \(No space left on device\)"):
            written_by(ledger, tmp_path, "b")
    with open_ledger(tmp_path, "Step") as ledger:
        assert ledger.state("a", tmp_path / "a.png", "one") is FileState.UNCHANGED
        assert not (tmp_path / "b.png").exists()


def written_by(ledger, directory: Path, name: str) -> None:
    ledger.begin(name, "one")
    (directory / f"{name}.png").write_text(name)
    ledger.finish(name, "one", directory / f"{name}.png", {})
