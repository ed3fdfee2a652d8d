from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from maskloss.cli.prompt import checked_order, override, parse_prompt, read_prompt
from maskloss.cli.run import REGISTRY
from maskloss.core.errors import PathError, PromptError


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def good() -> dict[str, Any]:
    return {
        "1": node("LoadImage", image="a.png"),
        "2": node("MaskLossPreviewWeights", weights=["1", 1], mask_loss=["3", 0], stride=8),
        "3": node("MaskLossSettings", gamma=0.7, normalization="batch"),
        "4": node("MaskLossSettingsPreset", preset="face"),
    }


def problems(data: dict[str, Any]) -> str:
    with pytest.raises(PromptError) as caught:
        checked_order(parse_prompt(data), REGISTRY)
    return str(caught.value)


def test_only_what_leads_to_an_output_runs_after_what_it_needs() -> None:
    order = [each.id for each in checked_order(parse_prompt(good()), REGISTRY)]
    assert sorted(order) == ["1", "2", "3"]
    assert order[-1] == "2"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("stride", 0, "input 'stride' is 0, expected at least 1"),
        ("stride", 8.5, "input 'stride' is 8.5, expected an INT"),
        ("stride", "8", "input 'stride' is '8', expected an INT"),
        ("stride", float("nan"), "input 'stride' is nan"),
        ("strde", 8, "'strde' is not an input of MaskLossPreviewWeights; did you mean 'stride'?"),
        ("mask_loss", 3, "input 'mask_loss' is 3, expected a link to a MASKLOSS_LOSS output"),
        (
            "mask_loss",
            ["1", 0],
            "input 'mask_loss' takes MASKLOSS_LOSS, and output 0 of node 1 (LoadImage) gives IMAGE",
        ),
        ("mask_loss", ["9", 0], "input 'mask_loss' links to node '9', which is not in the prompt"),
        ("mask_loss", ["3", 1], "input 'mask_loss' links to output 1 of node 3 (MaskLossSettings), which has 1"),
        ("mask_loss", ["3", -1], "input 'mask_loss' links to output -1"),
    ],
)
def test_a_bad_input_is_named_with_node_and_class(name: str, value: object, text: str) -> None:
    data = good()
    data["2"]["inputs"][name] = value
    found = problems(data)
    assert found.startswith("node 2 (MaskLossPreviewWeights): ")
    assert text in found
    assert "\n" not in found


def test_missing_required_input() -> None:
    data = good()
    del data["2"]["inputs"]["weights"]
    assert problems(data) == "node 2 (MaskLossPreviewWeights): the required input 'weights' is missing"


def test_everything_that_is_wrong_is_said_at_once_also_off_the_road() -> None:
    data = good()
    data["4"]["inputs"]["preset"] = "cat"
    data["2"]["inputs"]["stride"] = -1
    assert len(problems(data).splitlines()) == 2


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("gamma", 0.0, "mask_gamma must be > 0"),
        ("gamma", float("nan"), "gamma"),
        ("min_weight", 1.0, "mask_min_weight must be in range [0, 1)"),
        ("blur", 4, "odd"),
        ("normalization", "mean", "expected one of 'per_sample', 'batch', 'none'"),
    ],
)
def test_settings_are_checked_before_anything_runs(name: str, value: object, text: str) -> None:
    data = good()
    data["3"]["inputs"][name] = value
    assert text in problems(data)


def test_unknown_class_circle_and_nothing_to_do() -> None:
    assert "did you mean 'MaskLossSettings'" in problems({"1": node("MaskLosSettings")})
    assert "without ComfyUI" in problems({"1": node("KSampler")})
    assert "no output node" in problems({"1": node("MaskLossSettings")})
    circle = good()
    circle["1"] = node("MaskLossApplyInstanceMask", weights=["5", 0], instance=["5", 0])
    circle["2"]["inputs"]["weights"] = ["5", 0]
    circle["5"] = node("MaskLossApplyInstanceMask", weights=["1", 0], instance=["1", 0])
    assert "circle" in problems(circle)


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        (b"{", PromptError, "is not JSON (line 1"),
        (b"[" * 200_000, PromptError, "is no prompt (maximum recursion depth"),
        (b"[" + b"1" * 10_000 + b"]", PromptError, "is no prompt (Exceeds the limit"),
        (b"\xff\xfe", PathError, "not UTF-8"),
        (b"[]", PromptError, "holds a list"),
        (b"{}", PromptError, "is empty"),
        (b'{"nodes": [], "links": []}', PromptError, "Export (API)"),
        (b'{"1": {"inputs": {}}}', PromptError, "node '1' has no class_type"),
        (b'{"1": {"class_type": "LoadImage", "inputs": []}}', PromptError, "inputs of node '1'"),
    ],
)
def test_files_that_hold_no_prompt(tmp_path: Path, content: bytes, error: type[Exception], text: str) -> None:
    path = tmp_path / "prompt.json"
    path.write_bytes(content)
    with pytest.raises(error) as caught:
        read_prompt(path)
    assert text in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(PathError, match="cannot be read"):
            read_prompt(path)


def test_set_reads_values_by_the_declared_type(tmp_path: Path) -> None:
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps(good()))
    prompt = read_prompt(path)
    settings = ["2.stride=16", "3.gamma=1e-1", "3.strict=TRUE", "3.normalization=none", "1.image=b=c.png"]
    override(prompt, settings, REGISTRY)
    assert prompt["2"].inputs["stride"] == 16
    assert prompt["3"].inputs == {"gamma": 0.1, "normalization": "none", "strict": True}
    assert prompt["1"].inputs["image"] == "b=c.png"


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("2.stride", "not of the form"),
        ("stride=3", "not of the form"),
        ("9.stride=3", "there is no node '9'"),
        ("2.stide=3", "did you mean 'stride'?"),
        ("2.stride=many", "'many' is no INT"),
        ("3.gamma=x", "'x' is no FLOAT"),
        ("3.strict=maybe", "neither true nor false"),
        ("2.mask_loss=3", "MASKLOSS_LOSS socket"),
    ],
)
def test_set_that_cannot_be_applied(setting: str, text: str) -> None:
    with pytest.raises(PromptError) as caught:
        override(parse_prompt(good()), [setting], REGISTRY)
    assert text in str(caught.value)
    assert setting in str(caught.value)


def test_a_loader_of_comfyui_runs_only_there() -> None:
    data = {
        "1": node("CheckpointLoaderSimple", ckpt_name="sam3.safetensors"),
        "2": node("MaskLossSam3Segmenters", model=["1", 0], clip=["1", 1]),
    }
    found = problems(data)
    assert "node 1: 'CheckpointLoaderSimple' is not a node that runs without ComfyUI" in found
    assert "run this file in ComfyUI" in found
