"""Another trainer's cache through the nodes: opened, given text, looked at, trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.cli.prompt import parse_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import run_prompt
from maskloss.core.host import LocalHost
from safetensors.torch import save_file


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    directory = tmp_path / "in/theirs"
    directory.mkdir(parents=True)
    random = torch.Generator().manual_seed(0)
    for name in ("a", "b"):
        tensors = {"latents_1x8x8_float32": torch.randn(16, 1, 8, 8, generator=random)}
        if name == "a":
            tensors["mask_weights_1x8x8_float32"] = torch.rand(1, 1, 8, 8, generator=random)
        metadata = {"architecture": "wan", "width": "64", "height": "64", "format_version": "1.0.1"}
        save_file(tensors, directory / f"{name}_0064x0064_wan.safetensors", metadata)
        text = {"varlen_t5_float32": torch.zeros(2, 4)}
        save_file(text, directory / f"{name}_wan_te.safetensors", {"architecture": "wan", "caption1": f"ohwx {name}"})
    return LocalHost(tmp_path / "in", tmp_path / "out")


def test_the_whole_road_from_files_of_another_trainer(host: LocalHost) -> None:
    prompt = {
        "models": {"class_type": "MaskLossDemoModels", "inputs": {}},
        "load": {"class_type": "MaskLossLoadCache", "inputs": {"cache_directory": "theirs"}},
        "text": {"class_type": "MaskLossCacheText", "inputs": {"cache": ["load", 0], "clip": ["models", 2]}},
        "preview": {"class_type": "MaskLossPreviewCache", "inputs": {"cache": ["text", 0]}},
        "settings": {"class_type": "MaskLossSettings", "inputs": {}},
        "lora": {"class_type": "MaskLossLoraConfig", "inputs": {"rank": 2}},
        "train": {
            "class_type": "MaskLossTrainLora",
            "inputs": {
                "model": ["models", 0], "cache": ["text", 0], "mask_loss": ["settings", 0], "lora_config": ["lora", 0],
                "steps": 2,
            },
        },
        "report": {"class_type": "MaskLossReport", "inputs": {"cache": ["text", 0], "loss": ["train", 1]}},
    }  # fmt: skip
    results = run_prompt(parse_prompt(prompt), REGISTRY, host)
    loaded = json.loads(results["load"].ui["text"][0])
    assert loaded["counts"] == {"entries": 2, "alpha": 0, "file": 1, "none": 1}
    assert "another trainer's cache" in loaded["messages"][0]
    assert np.isfinite(results["train"].ui["maskloss"][0]["loss"])
    assert (host.folders().output / "maskloss/report/index.html").is_file()
