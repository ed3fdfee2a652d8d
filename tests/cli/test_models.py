"""The bundled files: listed with their licences, and the demo's photographs laid out."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskloss.cli.models import models
from maskloss.core.bundled.registry import BUNDLED
from maskloss.core.errors import MaskLossError


def test_every_file_is_listed_with_its_licence_its_source_and_what_it_is_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path))
    there = tmp_path / "bundled" / BUNDLED[0].name
    there.parent.mkdir(parents=True)
    there.write_bytes(bytes(BUNDLED[0].bytes))
    models(install_missing=False, photographs_directory=None)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(BUNDLED)
    for line, file in zip(lines, BUNDLED, strict=True):
        assert line.endswith(f"({file.licence}; {file.source}): {file.enables}")
    assert [line.partition(" ")[0] for line in lines] == ["present", *["missing"] * (len(BUNDLED) - 1)]


@pytest.mark.models
def test_the_demos_photographs_are_laid_out_and_nothing_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models(install_missing=False, photographs_directory=tmp_path)
    assert capsys.readouterr().out == f"The demo's photographs are in {tmp_path / 'maskloss_demo'}\n"
    assert len(list((tmp_path / "maskloss_demo/photographs").glob("*.jpg"))) > 1


@pytest.mark.models
def test_what_is_there_is_not_fetched_again(capsys: pytest.CaptureFixture[str]) -> None:
    models(install_missing=True, photographs_directory=None)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{len(BUNDLED)} of {len(BUNDLED)} bundled files are in ")


def test_photographs_that_are_not_there_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path / "none"))
    with pytest.raises(MaskLossError, match="maskloss models --install"):
        models(install_missing=False, photographs_directory=tmp_path / "in")
