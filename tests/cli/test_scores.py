"""What `maskloss scores` refuses before it measures anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskloss.cli.main import EXIT_USER, main


@pytest.mark.parametrize(
    ("option", "said"),
    [(("--masks", "."), "name these with --photographs"), (("--sheet", "sheet.txt"), "the suffix must be one of")],
)
def test_options_that_could_do_nothing_are_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str], said: str
) -> None:
    assert main(["scores", str(tmp_path), "--identity", str(tmp_path), *option]) == EXIT_USER
    assert said in capsys.readouterr().err
