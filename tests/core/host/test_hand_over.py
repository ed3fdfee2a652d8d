"""What the processes that train are handed: the prompt up to the training node, and facts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from maskloss.core.errors import PathError, TrainingError
from maskloss.core.host.hand_over import HandOver, OwnPrompt


def node(kind: str, **inputs: object) -> dict[str, object]:
    return {"class_type": kind, "inputs": inputs}


PROMPT = {
    "1": node("Loader", name="x"),
    "2": node("Shift", model=["1", 0], by=2),
    "3": node("Cache", vae=["1", 1]),
    "4": node("Number"),
    "5": node("Train", model=["2", 0], cache=["3", 0], steps=["4", 0], seed=1),
    "6": node("Report", loss=["5", 1]),
}


def test_only_what_leads_to_the_node_goes_along() -> None:
    found = OwnPrompt(PROMPT, "5").leading_to({}, {})
    assert found == {name: PROMPT[name] for name in "12345"}


def test_values_and_replaced_inputs_cut_off_what_led_to_them() -> None:
    own = OwnPrompt(PROMPT, "5")
    found = own.leading_to({"steps": 7, "devices": 1}, {"cache": node("LoadCache", cache_directory="/c")})
    assert found == {
        "1": PROMPT["1"],
        "2": PROMPT["2"],
        "5": node("Train", model=["2", 0], cache=["5.cache", 0], steps=7, seed=1, devices=1),
        "5.cache": node("LoadCache", cache_directory="/c"),
    }
    assert PROMPT["5"]["inputs"]["steps"] == ["4", 0]


def test_a_node_that_is_not_to_be_had_is_refused_where_it_leads_to_training() -> None:
    own = OwnPrompt(PROMPT, "5", frozenset({"1", "6"}))
    with pytest.raises(TrainingError, match=r"node 1 \(Loader\), which leads to model.*set devices to 1"):
        own.leading_to({}, {})
    beside = OwnPrompt(PROMPT, "5", frozenset({"3", "4", "6"}))
    assert "3" not in beside.leading_to({"steps": 7}, {"cache": node("LoadCache")})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    handed = HandOver(tmp_path)
    comfyui = {"folder": "/c", "options": ["--cpu"], "models": "/m", "model_folders": {"vae": [["/v"], [".pt"]]}}
    handed.write({"1": node("Loader")}, {"model": "wan", "train.steps": 3}, comfyui)
    assert json.loads(handed.prompt.read_text()) == {"1": node("Loader")}
    assert HandOver(tmp_path).read() == ({"model": "wan", "train.steps": 3}, comfyui)


@pytest.mark.parametrize("text", [None, "", "[]", "{}"])
def test_a_folder_of_something_else(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "facts.json").write_text(text)
    with pytest.raises(PathError, match="--waiting"):
        HandOver(tmp_path).read()
