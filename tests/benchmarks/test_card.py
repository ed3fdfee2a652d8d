"""The card benchmark: parts that hang, fail or run out of time cost a row and no more; all of it on tiny models."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def program(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(("import sys, time", *lines))]


@pytest.fixture
def card():
    return importlib.import_module("benchmarks.card")


@pytest.fixture
def rows():
    return importlib.import_module("benchmarks.card_rows")


def test_what_a_part_has_found_before_it_is_stopped_stays(card) -> None:
    lines = list(card.lines_within(program("print('one', flush=True)", "time.sleep(600)"), 10))
    assert lines[0] == "one\n"
    assert lines[1:] == [f"{card.ENDED}stopped after 10 s"]


def test_a_part_that_dies_says_so_and_one_without_time_is_not_begun(card) -> None:
    assert list(card.lines_within(program("sys.exit(3)"), 60)) == [f"{card.ENDED}ended with exit status 3"]
    assert list(card.lines_within(program("print('never')"), 0)) == [f"{card.ENDED}not begun: no time was left"]


def test_rows_stand_beside_their_plans_and_published_figures(rows) -> None:
    found = rows.Row("krea-2", "bf16 batch 1, compiled", 0.7, 50 * rows.GIB, key="a")
    assert rows.read_row(found.line) == found
    assert rows.read_row("anything else") is None
    header, line, row = rows.table([found], {"a": 55 * rows.GIB})
    assert header.count("|") == line.count("|") == row.count("|")
    assert "| 0.700 s | 50.0 GiB | 55.0 GiB | 1.100 |" in row
    assert "0.704 s, 63.7 GiB (H100) | SimpleTuner, KREA2.md |" in row, "the compiled figure, not the other"


@pytest.mark.comfy
@pytest.mark.skipif(not os.environ.get("COMFYUI_PATH"), reason="COMFYUI_PATH names no ComfyUI checkout")
def test_the_whole_of_it_runs_on_tiny_models_on_the_cpu() -> None:
    command = [
        sys.executable,
        "-m",
        "benchmarks.card",
        "--tiny",
        "--device",
        "cpu",
        "--only",
        "z-image",
        "--seconds",
        "3000",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stderr
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "|"]
    header, cases = table[0], table[2:]
    assert len(cases) == 2, done.stderr
    for case in cases:
        row = dict(zip(header, case, strict=True))
        assert row["step"].endswith(" s"), json.dumps(row)
        assert row["planned"].endswith(" MiB"), json.dumps(row)
        assert not row["found"].startswith("failed"), json.dumps(row)
