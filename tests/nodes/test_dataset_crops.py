"""The crops node, from a folder on disk to a trained LoRA that says what it was trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.cache import inspect
from maskloss.cli.prompt import parse_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import run_prompt
from maskloss.core.host import LocalHost
from maskloss.core.train.lora_file import load_lora
from PIL import Image


def node(class_type: str, **inputs: object) -> dict[str, object]:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    for folder in ("in/photographs", "in/masks"):
        (tmp_path / folder).mkdir(parents=True)
    random = np.random.default_rng(0)
    for name in ("anna", "bob"):
        Image.fromarray(random.integers(0, 256, (96, 160, 3), dtype=np.uint8)).save(
            tmp_path / f"in/photographs/{name}.png"
        )
        mask = np.zeros((96, 160), np.uint8)
        mask[40:, 60:110] = 128
        mask[16:40, 70:94] = 255
        Image.fromarray(mask).save(tmp_path / f"in/masks/{name}.png")
        (tmp_path / f"in/photographs/{name}.txt").write_text(name)
    return LocalHost(tmp_path / "in", tmp_path / "out")


def test_crops_are_seen_cached_trained_and_on_record(host: LocalHost, capsys: pytest.CaptureFixture[str]) -> None:
    size = {"resolution_width": 64, "resolution_height": 64}
    prompt = {
        "models": node("MaskLossDemoModels"),
        "load": node("MaskLossLoadDataset", directory="photographs", mask_directory="masks", **size),
        "crops": node("MaskLossDatasetCrops", dataset=["load", 0], face=2, bust=1, caption_face="close-up portrait of"),
        "latents": node("MaskLossCacheLatents", dataset=["crops", 0], vae=["models", 1], cache_directory="cache"),
        "text": node("MaskLossCacheText", cache=["latents", 0], clip=["models", 2]),
        "preview": node("MaskLossPreviewCache", cache=["text", 0]),
        "lora": node("MaskLossLoraConfig", rank=2),
        "train": node(
            "MaskLossTrainLora", model=["models", 0], cache=["text", 0], lora_config=["lora", 0], steps=1,
            output_name="loras/x",
        ),
        "report": node(
            "MaskLossReport", dataset=["crops", 0], cache=["text", 0], loss=["train", 1], lora_path=["train", 3]
        ),
    }  # fmt: skip
    results = run_prompt(parse_prompt(prompt), REGISTRY, host)
    assert results["crops"].ui["images"]
    report = json.loads(results["crops"].ui["text"][0])
    assert report["counts"] == {"items": 6, "whole": 2, "bust": 2, "face": 2, "left_out": 0, "per_epoch": 8}
    cached = json.loads(results["preview"].ui["text"][0])
    assert [row["name"] for row in cached["items"]] == [
        "anna", "anna~bust", "anna~face", "bob", "bob~bust", "bob~face",
    ]  # fmt: skip
    output = host.folders().output
    metadata = load_lora(output / "loras/x.safetensors").metadata
    assert json.loads(metadata["maskloss.crops"]) == {"bust": 2, "face": 4, "whole": 2}
    inspect(output / "cache", deep=True)
    shown = capsys.readouterr().out
    assert "crops       bust: 2, face: 2, whole: 2" in shown
    assert f", face {','.join(map(str, report['items'][3]['rectangle'][:2]))}," in shown
    page = (output / "maskloss/report/index.html").read_text()
    assert "2 bust, 2 face" in page
    assert "close-up portrait of anna" in page


def test_without_crops_the_metadata_says_nothing_of_them(host: LocalHost) -> None:
    prompt = {
        "models": node("MaskLossDemoModels"),
        "load": node("MaskLossLoadDataset", directory="photographs", resolution_width=64, resolution_height=64),
        "latents": node("MaskLossCacheLatents", dataset=["load", 0], vae=["models", 1], cache_directory="cache"),
        "text": node("MaskLossCacheText", cache=["latents", 0], clip=["models", 2]),
        "lora": node("MaskLossLoraConfig", rank=2),
        "train": node(
            "MaskLossTrainLora", model=["models", 0], cache=["text", 0], lora_config=["lora", 0], steps=1,
            output_name="loras/x",
        ),
    }  # fmt: skip
    run_prompt(parse_prompt(prompt), REGISTRY, host)
    assert "maskloss.crops" not in load_lora(host.folders().output / "loras/x.safetensors").metadata
