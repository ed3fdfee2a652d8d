"""The arguments of `maskloss corrections`."""

import argparse
from pathlib import Path

import pytest
from maskloss.cli.corrections_parser import add_corrections


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_corrections(parser.add_subparsers(required=True))
    return parser.parse_args(["corrections", *words])


def test_every_action_takes_the_output_folder() -> None:
    for words in (["list"], ["revert", "a.jpg"], ["export", "x"], ["import", "x", "photos"]):
        assert parse(*words).output == Path()
        assert parse(*words, "--output", "out").output == Path("out")


def test_revert_needs_a_photograph(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("revert")
    assert "PHOTOGRAPH" in capsys.readouterr().err


def test_one_frame_of_a_video_is_reverted_by_its_number() -> None:
    assert parse("revert", "a.mp4").frame is None
    assert parse("revert", "a.mp4", "--frame", "12").frame == 12
