"""A ledger that several fill at once: who ends leaves its journal to who writes, and the last one joins all."""

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import maskloss.core.masks.ledger as ledger_module
import pytest
from maskloss.core.dataset.files import MASK_LEDGER
from maskloss.core.files import process_tag, sha256_file
from maskloss.core.masks.ledger import FileState, Ledger, open_ledger

from .test_ledger import state, written, written_by


def journal_names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.glob("*.journal"))


def noted_elsewhere(directory: Path, name: str, content: str = "ours") -> Path:
    """The journal of another process that still writes, of this program's parent."""
    target = directory / f"{name}.png"
    target.write_text(content)
    host = process_tag().split("-")[0]
    journal = directory / f".maskloss_masks-{host}-{os.getppid()}-00000000-abcdef.journal"
    line = {"name": name, "fingerprint": "one", "sha256": sha256_file(target), "details": {}}
    with journal.open("a") as file:
        file.write(json.dumps(line) + "\n")
    return journal


def test_one_that_ends_leaves_its_journal_to_who_still_writes(tmp_path: Path) -> None:
    written(tmp_path, "a", "one")
    before = (tmp_path / MASK_LEDGER).read_bytes()
    other = noted_elsewhere(tmp_path, "theirs")
    written(tmp_path, "b", "one")
    assert (tmp_path / MASK_LEDGER).read_bytes() == before, "the ledger is not written by everybody who ends"
    (left,) = set(journal_names(tmp_path)) - {other.name}
    assert left.endswith("-left.journal")
    assert [state(tmp_path, name, "one") for name in ("a", "b", "theirs")] == [FileState.UNCHANGED] * 3
    assert len(journal_names(tmp_path)) == 1, "who ends next, and has nothing to add, takes in what was left"
    other.unlink()
    written(tmp_path, "c", "one")
    assert journal_names(tmp_path) == []
    assert [state(tmp_path, name, "one") for name in "abc"] == [FileState.UNCHANGED] * 3


def test_the_last_one_joins_what_the_others_left(tmp_path: Path) -> None:
    other = noted_elsewhere(tmp_path, "theirs")
    for name in "ab":
        written(tmp_path, name, "one")
    assert len(journal_names(tmp_path)) == 3
    other.rename(other.with_name(f"{other.stem}-left.journal"))
    written(tmp_path, "c", "one")
    assert journal_names(tmp_path) == []
    items = json.loads((tmp_path / MASK_LEDGER).read_text())["items"]
    assert sorted(items) == ["a", "b", "c", "theirs"]


def test_no_more_than_a_few_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_MOST_LEFT", 2)
    other = noted_elsewhere(tmp_path, "theirs")
    counts = []
    for number in range(7):
        written(tmp_path, f"n{number}", "one")
        counts.append(len(journal_names(tmp_path)) - 1)
    assert counts == [1, 2, 0, 1, 2, 0, 1]
    assert other.exists()
    assert {state(tmp_path, f"n{number}", "one") for number in range(7)} == {FileState.UNCHANGED}


def test_what_was_noted_when_joining_was_interrupted_is_joined_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "MOST_NOTED", 2)
    context = open_ledger(tmp_path, "Step")
    ledger = context.__enter__()
    written_by(ledger, tmp_path, "a")

    def interrupt(self: Ledger) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(Ledger, "_join", interrupt)
        for name in "bc":
            with pytest.raises(KeyboardInterrupt):
                ledger.begin(name, "one")
    (journal,) = tmp_path.glob("*.journal")
    assert [json.loads(line)["name"] for line in journal.read_text().splitlines()] == ["a", "a", "b", "c"]
    context.__exit__(None, None, None)
    assert journal_names(tmp_path) == []
    assert state(tmp_path, "a", "one") is FileState.UNCHANGED
    assert sorted(json.loads((tmp_path / MASK_LEDGER).read_text())["items"]) == ["a", "b", "c"]


def test_nothing_is_left_to_one_that_is_silent_or_has_ended(tmp_path: Path) -> None:
    other = noted_elsewhere(tmp_path, "theirs")
    os.utime(other, (time.time() - 3600,) * 2)
    written(tmp_path, "a", "one")
    assert journal_names(tmp_path) == [other.name], "it may come back"
    dead = other.rename(other.with_name(other.name.replace(f"-{os.getppid()}-", "-99999999-")))
    written(tmp_path, "b", "one")
    assert not dead.exists()
    assert [state(tmp_path, name, "one") for name in ("a", "b", "theirs")] == [FileState.UNCHANGED] * 3


def test_a_journal_that_grew_is_joined_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "MOST_NOTED", 3)
    names = [f"n{number}" for number in range(10)]
    with open_ledger(tmp_path, "Step") as ledger:
        for done, name in enumerate(names):
            written_by(ledger, tmp_path, name)
            assert len(ledger._noted) < 3
            assert len(journal_names(tmp_path)) <= 1
            assert {ledger.state(each, tmp_path / f"{each}.png", "one") for each in names[: done + 1]} == {
                FileState.UNCHANGED
            }
            assert state(tmp_path, name, "one") is FileState.UNCHANGED, "another one sees it too"
        assert "n2" in json.loads((tmp_path / MASK_LEDGER).read_text())["items"], "before it is closed"
    assert journal_names(tmp_path) == []
    assert sorted(json.loads((tmp_path / MASK_LEDGER).read_text())["items"]) == names


def test_what_another_one_wrote_into_the_ledger_is_seen(tmp_path: Path) -> None:
    with open_ledger(tmp_path, "Step") as ledger:
        assert ledger.record("a") is None
        written(tmp_path, "a", "one")
        assert ledger.state("a", tmp_path / "a.png", "one") is FileState.UNCHANGED


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_opening_noting_and_closing_gives_what_was_noted_last(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    names = ['"', "\\", "a", "ab", "ä/漢", "a b", "b\udcff", "\n", "{", "}}"]
    expected: dict[str, str] = {}
    opened: list[tuple[Any, Ledger]] = []
    for step in range(60):
        move = draw.random()
        if move < 0.25 and len(opened) < 3:
            context = open_ledger(tmp_path, "Step")
            opened.append((context, context.__enter__()))
        elif move < 0.4 and opened:
            opened.pop(draw.randrange(len(opened)))[0].__exit__(None, None, None)
        elif opened:
            # Of two that note one name at once nobody knows which was last.
            of = draw.randrange(len(opened))
            name = f"{names[draw.randrange(len(names))]}{id(opened[of][1])}"
            opened[of][1].finish(name, f"f{step}", None, {"n": step})
            expected[name] = f"f{step}"
            assert opened[of][1].record(name).fingerprint == f"f{step}"
    for context, _ in opened:
        context.__exit__(None, None, None)
    with open_ledger(tmp_path, "Step") as ledger:
        assert {name: ledger.record(name).fingerprint for name in expected} == expected
    assert sorted(json.loads((tmp_path / MASK_LEDGER).read_bytes())["items"]) == sorted(expected)
    assert journal_names(tmp_path) == []
