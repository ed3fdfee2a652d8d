"""Commands that take a prompt have the same arguments for it, by the same names."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from maskloss.cli.main import main
from maskloss.cli.prompt_parser import add_base_directory, add_prompt, add_run_here


def test_what_is_given_is_read_and_everything_but_the_file_may_be_left_out() -> None:
    parser = argparse.ArgumentParser()
    add_run_here(parser)
    add_base_directory(parser)
    left = parser.parse_args(["a.json"])
    assert vars(left) == {"file": Path("a.json"), "set": [], "input": None, "output": None, "base_directory": None}
    words = "a.json --set 1.x=2 --set 1.y=3 --input in --output out --base-directory comfy"
    given = parser.parse_args(words.split())
    assert given.set == ["1.x=2", "1.y=3"]
    assert (given.input, given.output, given.base_directory) == (Path("in"), Path("out"), Path("comfy"))


def test_a_prompt_alone_has_no_folders(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_prompt(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["a.json", "--input", "in"])
    assert "--input" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "train", "cluster", "submit"])
def test_the_commands_have_them(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "--set ID.INPUT=VALUE" in told
    assert ("--output DIR" in told) == (command != "submit")
    assert ("--base-directory DIR" in told) == (command in ("train", "cluster"))
