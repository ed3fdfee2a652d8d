"""AGENTS.md has a line for every file, and none for a file that is gone."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_source_file_has_its_line():
    text = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^- `([^`]+\.py)`: \S", text, flags=re.MULTILINE))
    files = [path for room in ("core", "nodes", "cli") for path in (ROOT / room).rglob("*.py")]
    present = {path.relative_to(ROOT).as_posix() for path in [*files, *ROOT.glob("*.py")] if path.stat().st_size}
    assert listed == present
