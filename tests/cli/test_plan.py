"""`maskloss plan` as a user types it."""

from __future__ import annotations

import json
import os

import pytest
from maskloss.cli.main import main


def test_the_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "list"]) == 0
    assert "wan2.1-14b           14.29 billion" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["wan2.1-14b", "--resolution", "big"], "--resolution is 'big'; write 1024, or width x height"),
        (["wan2.1-14b", "--optimizer", "magic"], "--optimizer is 'magic', which is none of adamw,"),
    ],
)
def test_a_mistake_is_exit_code_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.comfy
def test_a_plan_as_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    if not os.environ.get("COMFYUI_PATH"):
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    assert main(["plan", "sd1.5", "--resolution", "512x384", "--rank", "8"]) == 0
    assert capsys.readouterr().out.startswith("sd1.5: 512x384, batch 1, rank 8 lora, checkpointing on, adamw")
    assert main(["plan", "sd1.5", "--resolution", "512", "--no-checkpointing", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["changes"][0]["change"] == "gradient_checkpointing on"
    assert plan["memory"]["peak"] > plan["changes"][0]["memory"]["peak"]
    assert main(["plan", "sd9"]) == 2
    assert "'sd9' is no model that is known by name" in capsys.readouterr().err
