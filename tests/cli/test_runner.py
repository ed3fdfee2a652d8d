from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
from maskloss.cli.prompt import parse_prompt
from maskloss.cli.runner import run_node, run_prompt
from maskloss.core.errors import PromptError, SettingError
from maskloss.core.host import LocalHost, current_host


class Numbers:
    RETURN_TYPES = ("LIST", "INT")
    OUTPUT_IS_LIST = (True, False)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"count": ("INT", {})}}

    def run(self, count: int) -> tuple[list[int], int]:
        return list(range(count)), count


class Add:
    RETURN_TYPES = ("LIST",)
    FUNCTION = "add"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"a": ("LIST,INT",), "b": ("INT,LIST",)}}

    def add(self, a: int, b: int) -> dict[str, Any]:
        if a == 13:
            raise SettingError("13 is refused")
        if a == 14:
            raise KeyError("ours")
        return {"ui": {"text": [f"{a}+{b}"]}, "result": (a + b,)}


class Together:
    RETURN_TYPES = ("LIST",)
    FUNCTION = "run"
    OUTPUT_NODE = True
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True,)
    seen: ClassVar[list[Any]] = []

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"values": ("LIST",)}, "optional": {"flag": ("BOOLEAN", {})}}

    def run(self, values: list[int], flag: list[bool]) -> tuple[list[int]]:
        self.seen.append((values, flag, current_host().running_classes()))
        return (values[::-1],)


REGISTRY: dict[str, type] = {"Numbers": Numbers, "Add": Add, "Together": Together}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def run(data: dict[str, Any], directory: Path) -> Any:
    return run_prompt(parse_prompt(data), REGISTRY, LocalHost(directory, directory))


def test_lists_are_mapped_and_the_last_item_repeats() -> None:
    result = run_node(Add, {"a": [1, 2, 3], "b": [10, 20]})
    assert result.outputs == [[11, 22, 23]]
    assert result.ui == {"text": ["1+10", "2+20", "3+20"]}
    assert run_node(Add, {"a": [], "b": [1]}).outputs == [[]]
    assert run_node(Numbers, {"count": [2, 1]}).outputs == [[0, 1, 0], [2, 1]]


def test_list_outputs_reach_a_node_that_takes_whole_lists(tmp_path: Path) -> None:
    Together.seen.clear()
    results = run(
        {
            "1": node("Numbers", count=3),
            "2": node("Add", a=["1", 0], b=["1", 1]),
            "3": node("Together", values=["2", 0], flag=True),
        },
        tmp_path,
    )
    assert Together.seen == [([3, 4, 5], [True], frozenset(REGISTRY))]
    assert results["3"].outputs == [[5, 4, 3]]
    assert results["2"].outputs == [], "an output is dropped after its last use"
    assert results["2"].ui == {"text": ["0+3", "1+3", "2+3"]}


def test_nodes_get_numbers_of_the_kind_that_they_declare(tmp_path: Path) -> None:
    class Halves:
        RETURN_TYPES = ("FLOAT",)
        FUNCTION = "run"
        OUTPUT_NODE = True

        @classmethod
        def INPUT_TYPES(cls) -> dict[str, Any]:
            return {"required": {"count": ("INT", {}), "value": ("FLOAT", {})}}

        def run(self, count: int, value: float) -> dict[str, Any]:
            return {"ui": {"text": [repr((count, value))]}, "result": (value,)}

    data = {"1": node("Halves", count=2.0, value=2**70)}
    results = run_prompt(parse_prompt(data), {"Halves": Halves}, LocalHost(tmp_path, tmp_path))
    assert results["1"].ui["text"] == [repr((2, 2.0**70))]


def test_errors_of_a_node_name_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = {"n": node("Numbers", count=14), "7:1": node("Add", a=["n", 0], b=["n", 1])}
    with pytest.raises(PromptError, match=r"node 7:1 \(Add\): 13 is refused"):
        run(data, tmp_path)
    with pytest.raises(KeyError):
        run({"n": node("Numbers", count=14), "a": node("Add", a=["n", 1], b=["n", 1])}, tmp_path)
    assert "a Add] stopped here" in capsys.readouterr().err


def test_progress_is_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run({"1": node("Numbers", count=1), "2": node("Add", a=["1", 0], b=["1", 1])}, tmp_path)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "[1/2] 1 Numbers" in captured.err
    assert "[2/2] 2 Add" in captured.err
