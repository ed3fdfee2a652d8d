"""The one wrapper around every node's `run`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from maskloss.core.errors import PromptError, SettingError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.warning import warn
from maskloss.nodes.node import Node
from maskloss.nodes.sockets import BOOLEAN, FLOAT, INT, STRING


class Doubler(Node):
    RETURN_TYPES = ("FLOAT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"value": FLOAT(1.0, 0, 10, 0.1, "")}, "optional": {"text": STRING("", "")}}

    def run(self, value: float, text: str = "") -> tuple[torch.Tensor]:
        return (torch.tensor([value]) * 2,)


class StrangeHost(LocalHost):
    def given_inputs(self) -> frozenset[str] | None:
        return frozenset({"value", "txt"})


def test_values_are_checked_when_the_node_runs() -> None:
    for value in (float("nan"), 11.0, "1"):
        with pytest.raises(SettingError, match="value is"):
            Doubler().run(value=value)
    with pytest.raises(SettingError, match="value is 11"):
        Doubler().run(11)


def test_unknown_names_of_the_prompt_are_refused() -> None:
    with use_host(StrangeHost()), pytest.raises(PromptError, match=r"'txt' is not an input of Doubler.*'text'"):
        Doubler().run(value=1.0)


def test_results_can_be_trained_on_although_comfyui_runs_nodes_in_inference_mode() -> None:
    with torch.inference_mode():
        (doubled,) = Doubler().run(value=1.5)
    assert not doubled.is_inference()
    assert doubled.tolist() == [3.0]
    assert not torch.is_inference_mode_enabled()


class Warner(Node):
    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"times": INT(0, 0, 9, "")}, "optional": {"shown": BOOLEAN(False, "")}}

    def run(self, times: int, shown: bool = False) -> Any:
        for number in range(times):
            warn(f"warning {number} of {times}")
        return {"ui": {"text": ["words"]}, "result": (times,)} if shown else (times,)


class WatchedHost(LocalHost):
    """A graph editor looks on."""

    def running_node(self) -> tuple[str, str] | None:
        return "7", "p"


def test_warnings_go_with_the_result_and_are_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with use_host(LocalHost()):
        assert Warner().run(times=2) == {"ui": {"warnings": ["warning 0 of 2", "warning 1 of 2"]}, "result": (2,)}
        assert capsys.readouterr().err == "  WARNING: warning 0 of 2\n  WARNING: warning 1 of 2\n"
        assert Warner().run(times=1, shown=True)["ui"] == {"text": ["words"], "warnings": ["warning 0 of 1"]}
        assert Warner().run(times=0, shown=True)["ui"] == {"text": ["words"], "warnings": []}
        assert Warner().run(times=0) == (0,)


def test_a_watched_node_has_the_same_keys_on_every_call() -> None:
    # ComfyUI merges the calls over a list by the first one's keys, and shows what came last until something else comes.
    with use_host(WatchedHost()):
        assert [Warner().run(times=times)["ui"] for times in (0, 1)] == [
            {"warnings": []},
            {"warnings": ["warning 0 of 1"]},
        ]
