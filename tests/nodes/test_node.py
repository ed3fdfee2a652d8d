"""The one wrapper around every node's `run`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from maskloss.core.errors import PromptError, SettingError
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.node import Node
from maskloss.nodes.sockets import FLOAT, STRING


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
