"""Which code this is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import maskloss
from maskloss.core.version import source_digest

_ASK = "import sys; sys.path.insert(0, sys.argv[1]); from core.version import source_digest; print(source_digest())"


def digest_of(tree: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", _ASK, str(tree)], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_another_line_of_code_is_another_version(tmp_path: Path) -> None:
    root = Path(maskloss.__file__).parent
    shutil.copytree(root / "core", tmp_path / "core", ignore=shutil.ignore_patterns("__pycache__"))
    assert digest_of(tmp_path) == source_digest()
    (tmp_path / "core/loss.py").write_text((tmp_path / "core/loss.py").read_text() + "\n")
    assert digest_of(tmp_path) != source_digest()
