"""What `maskloss scores` refuses before it measures anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.main import EXIT_USER, main
from maskloss.core.images import load_image, save_image

from benchmarks.photographs import read_rgb


@pytest.mark.parametrize(
    ("option", "said"),
    [(("--masks", "."), "name these with --photographs"), (("--sheet", "sheet.txt"), "the suffix must be one of")],
)
def test_options_that_could_do_nothing_are_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str], said: str
) -> None:
    assert main(["scores", str(tmp_path), "--identity", str(tmp_path), *option]) == EXIT_USER
    assert said in capsys.readouterr().err


@pytest.mark.models
@pytest.mark.photographs
def test_a_group_photograph_as_identity_is_refused_without_an_input_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sample_photograph: Callable[[int], np.ndarray]
) -> None:
    save_image(tmp_path / "group.png", sample_photograph(1))
    assert main(["scores", str(tmp_path), "--identity", str(tmp_path / "group.png")]) == EXIT_USER
    said = capsys.readouterr().err
    assert "crop it to the one person" in said
    assert "face_index" not in said


@pytest.mark.models
@pytest.mark.photographs
def test_a_sheet_shows_every_picture_of_the_folder_with_its_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("obama.jpg", "obama2.jpg", "biden.jpg"):
        save_image(tmp_path / "pictures" / Path(name).with_suffix(".png").name, read_rgb(name))
    sheet = tmp_path / "sheet.png"
    faces = str(tmp_path / "pictures" / "obama.png")
    assert main(["scores", str(tmp_path / "pictures"), "--identity", faces, "--sheet", str(sheet)]) == 0
    lines = capsys.readouterr().out.splitlines()
    likeness = {line.split()[0]: float(line.split()[2]) for line in lines[1:4]}
    assert likeness["obama.png"] > 0.99
    assert likeness["obama2.png"] > likeness["biden.png"]
    found = load_image(sheet)[0]
    assert found.shape[1] > 3 * 320
