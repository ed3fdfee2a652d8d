"""The arguments of `maskloss plan`."""

from __future__ import annotations

import argparse

import pytest
from maskloss.cli.plan_parser import add_plan
from maskloss.core.frozen.config import BasePrecision
from maskloss.core.plan.setup import Weights
from maskloss.core.train.config import Algorithm


def choices(name: str) -> list[str]:
    commands = argparse.ArgumentParser().add_subparsers()
    add_plan(commands)
    action = next(each for each in commands.choices["plan"]._actions if f"--{name}" in each.option_strings)
    return list(action.choices or ())


def test_the_choices_are_those_of_the_code() -> None:
    assert choices("algorithm") == [each.value for each in Algorithm]
    assert choices("base-precision") == [each.value for each in BasePrecision]
    assert choices("weights") == [each.value for each in Weights if each is not Weights.MODEL]


def test_no_number_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_plan(parser.add_subparsers())
    with pytest.raises(SystemExit):
        parser.parse_args(["plan", "sdxl", "--rank", "many"])
    assert "invalid int value: 'many'" in capsys.readouterr().err
