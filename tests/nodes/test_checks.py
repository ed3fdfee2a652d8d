from __future__ import annotations

from typing import Any, ClassVar

import pytest
from maskloss.core.errors import SettingError
from maskloss.nodes.checks import checked_by_itself, problem_with, suggestion, unknown_input, verdict

INT = ("INT", {"min": 1, "max": 9})
FLOAT = ("FLOAT", {"min": 0.0, "max": 1.0})
COMBO = ("COMBO", {"options": ["skip", "error"]})


class Example:
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"steps": INT}, "optional": {"learning_rate": FLOAT}}

    @classmethod
    def VALIDATE_INPUTS(cls, learning_rate: float | None = None) -> bool | str:
        return True


@pytest.mark.parametrize(
    ("declaration", "value"),
    [(INT, 5), (INT, 5.0), (FLOAT, 1), (FLOAT, 0.5), (("STRING", {}), ""), (("BOOLEAN", {}), False), (COMBO, "skip")],
)
def test_legal_values(declaration: Any, value: object) -> None:
    assert problem_with(declaration, value) is None


@pytest.mark.parametrize(
    ("declaration", "value", "text"),
    [
        (INT, 0, "is 0, expected at least 1"),
        (INT, 10, "is 10, expected at most 9"),
        (INT, 2.5, "is 2.5, expected an INT"),
        (INT, True, "is True, expected an INT"),
        (INT, "5", "is '5', expected an INT"),
        (INT, float("inf"), "is inf, expected an INT"),
        (FLOAT, float("nan"), "is nan, expected a finite FLOAT"),
        (FLOAT, None, "is None, expected a finite FLOAT"),
        (FLOAT, 1.5, "is 1.5, expected at most 1.0"),
        (("STRING", {}), 3, "is 3, expected a STRING"),
        (("BOOLEAN", {}), "false", "is 'false', expected true or false"),
        (COMBO, "skp", "is 'skp', expected one of 'skip', 'error'"),
    ],
)
def test_illegal_values(declaration: Any, value: object, text: str) -> None:
    assert problem_with(declaration, value) == text


def test_numbers_that_are_longer_than_any_float_are_illegal() -> None:
    assert str(problem_with(FLOAT, 10**400)).endswith("expected a finite FLOAT")
    assert str(problem_with(INT, 10**400)).endswith("expected an INT")


def test_ranges_of_inputs_that_check_themselves_are_theirs() -> None:
    assert checked_by_itself(Example) == {"learning_rate"}
    assert problem_with(FLOAT, 7.0, in_range=False) is None
    assert problem_with(FLOAT, "7", in_range=False) is not None


def test_nearest_names() -> None:
    assert unknown_input(Example, "lerning_rate").endswith("; did you mean 'learning_rate'?")
    assert unknown_input(Example, "zzz") == "'zzz' is not an input of Example; it takes learning_rate, steps"
    assert suggestion("x", [f"name{number}" for number in range(40)]) == ""
    assert suggestion("MASKLOSSREPORT", ["MaskLossReport"]) == "; did you mean 'MaskLossReport'?"


def test_verdict() -> None:
    def refuse() -> None:
        raise SettingError("no")

    assert verdict(lambda: 1) is True
    assert verdict(refuse) == "no"
