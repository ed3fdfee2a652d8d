"""ComfyUI's own nodes without its server; and a MODEL that its loader opens in each of two processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.images import save_image
from maskloss.core.train.lora_file import load_lora
from safetensors.torch import save_file
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy

WAN = {
    "image_model": "wan2.1", "dim": 128, "out_dim": 16, "num_heads": 1, "ffn_dim": 256, "num_layers": 2,
    "patch_size": (1, 2, 2), "freq_dim": 256, "window_size": (-1, -1), "qk_norm": True, "cross_attn_norm": True,
    "eps": 1e-6, "in_dim": 16, "model_type": "t2v",
}  # fmt: skip


class Text:
    """Random embeddings as wide as WAN's own."""

    identity = "random"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(len(caption))
        return {"cross_attn": torch.randn(1, 8, 4096, generator=generator)}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with a tiny random WAN among its models."""
    configuration = tiny.comfy.supported_models.WAN21_T2V(dict(WAN))
    configuration.set_inference_dtype(torch.float32, None)
    network = configuration.get_model({}, "", device="cpu").diffusion_model
    generator = torch.Generator().manual_seed(0)
    weights = {name: torch.randn(each.shape, generator=generator) * 0.05 for name, each in network.state_dict().items()}
    (tmp_path / "models/diffusion_models").mkdir(parents=True)
    save_file(weights, tmp_path / "models/diffusion_models/tiny.safetensors")
    return tmp_path


@pytest.fixture
def prompt(base: Path) -> Path:
    """A cache of four pictures, and the prompt that trains that model on it."""
    items = []
    for number in range(4):
        path = base / f"{number}.png"
        save_image(path, np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        items.append(DatasetItem(str(number), path, LoadSettings(resolution=(64, 64)), caption="word " * number))
    cache, _ = cache_latents(Dataset(tuple(items)), DemoLatentEncoder(), base / "out/cache")
    cache_text(cache, Text())
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "model": ("UNETLoader", {"unet_name": "tiny.safetensors", "weight_dtype": "default"}),
        "shifted": ("ModelSamplingSD3", {"model": ["model", 0], "shift": 3.0}),
        "cache": ("MaskLossLoadCache", {"cache_directory": "cache"}),
        "optimizer": ("MaskLossOptimizer", {"optimizer_args": "eps=1e-4"}),
        "train": (
            "MaskLossTrainLora",
            {
                "model": ["shifted", 0], "cache": ["cache", 0], "optimizer": ["optimizer", 0], "steps": 2,
                "training_dtype": "fp32", "output_name": "lora",
            },
        ),
    }  # fmt: skip
    path = base / "prompt.json"
    path.write_text(json.dumps({name: {"class_type": kind, "inputs": given} for name, (kind, given) in nodes.items()}))
    return path


def train(size: int, prompt: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size),
        "-m", "maskloss", "train", str(prompt), "--output", str(prompt.parent / "out"),
        "--base-directory", str(prompt.parent),
    ]  # fmt: skip
    given = [argument for setting in settings for argument in ("--set", setting)]
    return subprocess.run([*command, *given], capture_output=True, text=True, check=False)


def test_two_processes_open_the_model_and_train_the_lora_of_one(prompt: Path) -> None:
    two = train(2, prompt, "train.output_name=two")
    assert two.returncode == 0, two.stderr
    one = train(1, prompt, "train.output_name=one", "train.gradient_accumulation_steps=2")
    assert one.returncode == 0, one.stderr
    found, expected = (load_lora(prompt.parent / f"out/{name}.safetensors") for name in ("two", "one"))
    assert_alike(found, expected)


def assert_alike(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """To rounding, which AdamW magnifies: it divides small gradients by their own size."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert float((found[key] - value).norm()) <= 1e-5 * float(value.norm()), key


def as_flux(prompt: Path) -> None:
    """The prompt's model becomes a tiny Flux, and its captions Flux's."""
    base = prompt.parent
    weights = tiny.load_model("flux").model.diffusion_model.state_dict()
    save_file({name: each.contiguous() for name, each in weights.items()}, base / "models/diffusion_models/flux.sft")
    cache_text(replace(open_cache(base / "out/cache"), text_encoder=None), FluxText())
    nodes = json.loads(prompt.read_text())
    nodes["model"]["inputs"]["unet_name"] = "flux.sft"
    nodes["train"]["inputs"]["model"] = ["model", 0]
    del nodes["shifted"]
    prompt.write_text(json.dumps(nodes))


class FluxText:
    """Random embeddings as a tiny Flux takes them."""

    identity = "random flux"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        return tiny.text_for("flux", seed=len(caption))


@pytest.mark.parametrize("model", ["wan", "flux"])
def test_two_processes_that_shard_the_model_train_the_lora_of_one(prompt: Path, model: str) -> None:
    if model == "flux":
        as_flux(prompt)
    two = train(2, prompt, "train.output_name=two", "train.fit=shard")
    assert two.returncode == 0, two.stderr
    one = train(1, prompt, "train.output_name=one", "train.gradient_accumulation_steps=2")
    assert one.returncode == 0, one.stderr
    found, expected = (load_lora(prompt.parent / f"out/{name}.safetensors") for name in ("two", "one"))
    assert_alike(found, expected)


def test_a_model_that_is_not_there_is_named(prompt: Path) -> None:
    done = train(1, prompt, "model.unet_name=another.safetensors")
    assert done.returncode != 0
    assert "another.safetensors" in done.stderr
    assert "tiny.safetensors" in done.stderr


_ASK = """
from maskloss.core.comfy.registry import comfyui_nodes
nodes = comfyui_nodes()
sampler = nodes["KSamplerSelect"]
print(sampler.RETURN_TYPES, sampler.INPUT_TYPES()["required"]["sampler_name"][0])
print(type(getattr(sampler(), sampler.FUNCTION)(sampler_name="euler")["result"][0]).__name__)
loader = nodes["UNETLoader"]
print(loader.RETURN_TYPES, loader.INPUT_TYPES()["required"]["weight_dtype"])
"""


def test_both_kinds_of_nodes_run() -> None:
    done = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    newer, sampler, older = done.stdout.splitlines()[-3:]
    assert newer == "('SAMPLER',) COMBO"
    assert sampler == "KSAMPLER"
    assert older.startswith("('MODEL',) ('COMBO', {'advanced': True, 'options': ['default', 'fp8_e4m3fn'")
