"""The whole road as a prompt, on drawn photographs: dataset → cache → training → LoRA → report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskloss.cli.prompt import parse_prompt
from maskloss.cli.run import REGISTRY, run_file
from maskloss.cli.runner import NodeResult, run_prompt
from maskloss.core.errors import PromptError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.train.lora_file import load_lora
from maskloss.nodes.dataset import MaskLossLoadDataset
from maskloss.nodes.dataset_masks import parse_choices
from PIL import Image


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    photographs = tmp_path / "in/photographs"
    photographs.mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        rgba = random.integers(0, 256, (64, 96, 4), dtype=np.uint8)
        rgba[..., 3] = 0
        rgba[16:48, 16:48, 3] = 255
        Image.fromarray(rgba).save(photographs / f"{name}.png")
    (photographs / "a.txt").write_text("a person")
    return LocalHost(tmp_path / "in", tmp_path / "out")


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def road(**dataset: Any) -> dict[str, Any]:
    size = {"resolution_width": 64, "resolution_height": 64}
    return {
        "models": node("MaskLossDemoModels", seed=1),
        "load": node("MaskLossLoadDataset", directory="photographs", **{"alpha_mask": True, **size, **dataset}),
        "merge": node("MaskLossDatasetMergeAlpha", dataset=["load", 0], output_directory="rgba"),
        "sheet": node("MaskLossPreviewDataset", dataset=["merge", 0], columns=2),
        "latents": node("MaskLossCacheLatents", dataset=["merge", 0], vae=["models", 1], cache_directory="cache"),
        "text": node("MaskLossCacheText", cache=["latents", 0], clip=["models", 2]),
        "settings": node("MaskLossSettings", gamma=0.7, min_weight=0.05),
        "preview": node("MaskLossPreviewCache", cache=["text", 0], mask_loss=["settings", 0]),
        "lora": node("MaskLossLoraConfig", rank=2, alpha=2.0),
        "optimizer": node("MaskLossOptimizer", learning_rate=0.001),
        "train": node(
            "MaskLossTrainLora",
            model=["models", 0],
            cache=["text", 0],
            mask_loss=["settings", 0],
            lora_config=["lora", 0],
            optimizer=["optimizer", 0],
            steps=2,
            output_name="loras/x",
        ),
        "save": node("MaskLossSaveLora", lora=["train", 0], filename_prefix="loras/y", key_format="kohya"),
        "report": node(
            "MaskLossReport", dataset=["merge", 0], cache=["text", 0], loss=["train", 1], lora_path=["train", 3]
        ),
    }


def run(prompt: dict[str, Any], host: LocalHost) -> dict[str, NodeResult]:
    return run_prompt(parse_prompt(prompt), REGISTRY, host)


def test_photographs_become_a_lora_and_a_page(host: LocalHost, capsys: pytest.CaptureFixture[str]) -> None:
    results = run(road(), host)
    output = host.folders().output
    assert results["train"].ui["maskloss"][0]["steps"] == 2
    assert np.isfinite(results["train"].ui["maskloss"][0]["loss"])
    assert any("MASK-WEIGHTED LOSS TRAINING ENABLED" in text for text in results["train"].ui["text"])
    assert len(load_lora(output / "loras/x.safetensors")) > 0
    assert all(key.startswith("lora_unet_") for key in load_lora(output / "loras/y_00001.safetensors"))
    assert (output / "maskloss/report/index.html").is_file()
    assert 1 <= len(results["report"].ui["summary"]) <= 10
    preview = json.loads(results["preview"].ui["text"][0])
    assert preview["counts"] == {"entries": 2, "alpha": 2}
    assert all(0.05 <= row["least"] < row["most"] == 1.0 for row in preview["items"])
    assert "MASK-WEIGHTED" in capsys.readouterr().err


def test_warnings_stay_on_the_nodes_on_the_page_and_in_the_terminal(
    host: LocalHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = road()
    del prompt["train"]["inputs"]["mask_loss"]
    words = "2 of 2 cached items have a mask, but no mask_loss is connected"
    for _ in range(2):  # the second time the finished run is found
        results = run(prompt, host)
        assert [text.partition(":")[0] for text in results["train"].ui["warnings"]] == [words]
        assert results["load"].ui["warnings"] == ["1 images have no caption: b"]
        page = (host.folders().output / "maskloss/report/index.html").read_text(encoding="utf-8")
        assert f'<p class="warning">Train LoRA (Mask Loss) (train): {words}' in page
        assert "Load Dataset (load): 1 images have no caption: b" in page
    file = tmp_path / "prompt.json"
    file.write_text(json.dumps(prompt))
    capsys.readouterr()
    run_file(file, [], host.folders().input, host.folders().output)
    out, err = capsys.readouterr()
    assert f"WARNING [train MaskLossTrainLora]: {words}" in out
    assert f"  WARNING: {words}" in err


def test_a_second_run_does_nothing_twice_and_goes_further_when_asked(host: LocalHost) -> None:
    first = road()
    run(first, host)
    lora = (host.folders().output / "loras/x.safetensors").read_bytes()
    again = run(first, host)
    assert any("nothing to train" in text for text in again["train"].ui["text"])
    assert (host.folders().output / "loras/x.safetensors").read_bytes() == lora
    reports = [json.loads(again[name].ui["text"][0]) for name in ("merge", "latents")]
    assert {row["state"] for report in reports for row in report["items"]} == {"unchanged"}
    first["train"]["inputs"]["steps"] = 3
    assert run(first, host)["train"].ui["maskloss"][0]["steps"] == 3
    first["train"]["inputs"]["seed"] = 5
    with pytest.raises(PromptError, match=r"node train \(MaskLossTrainLora\).*train.seed"):
        run(first, host)


def test_a_model_that_takes_no_guidance_trains_without_and_the_node_says_so(host: LocalHost) -> None:
    prompt = road()
    prompt["train"]["inputs"]["guidance"] = 1.5
    for _ in range(2):  # the second time the finished run is found
        told = run(prompt, host)["train"].ui["warnings"]
        assert told == ["guidance is 1.5, but maskloss-demo-flow-1-seed1 takes none and ignores it."]
    assert "ss_guidance_scale" not in load_lora(host.folders().output / "loras/x.safetensors").metadata
    prompt["train"]["inputs"]["guidance"] = 0.0
    ui = run(prompt, host)["train"].ui
    assert any("nothing to train" in text for text in ui["text"])
    assert ui["warnings"] == []


def test_the_cache_and_the_lora_are_loaded_again(host: LocalHost) -> None:
    run(road(), host)
    prompt = {
        "models": node("MaskLossDemoModels", seed=1),
        "cache": node("MaskLossLoadCache", cache_directory="cache"),
        "start": node("MaskLossLoadLora", path="loras/x.safetensors"),
        "lora": node("MaskLossLoraConfig", rank=2, alpha=2.0),
        "preset": node("MaskLossSettingsPreset", preset="face"),
        "train": node(
            "MaskLossTrainLora",
            model=["models", 0],
            cache=["cache", 0],
            mask_loss=["preset", 0],
            lora_config=["lora", 0],
            initial_lora=["start", 0],
            steps=1,
            output_name="loras/z",
        ),
    }
    assert run(prompt, host)["train"].ui["maskloss"][0]["steps"] == 1


def test_require_mask_without_a_source_is_an_error_unless_masks_are_built(host: LocalHost) -> None:
    with pytest.raises(PromptError, match="require_mask=true but no mask source configured"):
        run(road(alpha_mask=False, require_mask=True), host)
    node_alone = MaskLossLoadDataset()
    with use_host(host):
        host.classes = frozenset({"MaskLossLoadDataset", "MaskLossDatasetBuildMasks"})
        dataset = node_alone.run(directory="photographs", require_mask=True)["result"][0]
    assert [item.name for item in dataset.items] == ["a", "b"]


def test_a_changed_folder_runs_again(host: LocalHost) -> None:
    with use_host(host):
        before = MaskLossLoadDataset.IS_CHANGED(directory="photographs", num_repeats=1)
        assert before == MaskLossLoadDataset.IS_CHANGED(directory="photographs", num_repeats=2)
        (host.folders().input / "photographs/a.txt").write_text("another caption")
        assert before != MaskLossLoadDataset.IS_CHANGED(directory="photographs")


@pytest.mark.parametrize("text", ["a", "=1", "a=-1", "a=x", "a=1\na=2"])
def test_choices_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError, match="choices"):
        parse_choices(text)


def test_choices() -> None:
    assert parse_choices(" holiday/a=b = 2 \n\nb=0") == {"holiday/a=b": 2, "b": 0}
