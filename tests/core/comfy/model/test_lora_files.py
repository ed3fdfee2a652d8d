"""LoRA files of every architecture and algorithm in ComfyUI's own LoRA nodes: every key known, every layer patched."""

from __future__ import annotations

import importlib
import itertools
import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm, LoraConfig
from maskloss.core.train.lora_file import KeyFormat, chosen_format, load_lora, save_lora
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy

UNETS = ("sd15", "sdxl", "sd2", "sdxl_refiner")
# ComfyUI knows diffusers' names of a few models only; those files are for diffusers, where they are tested.
FORMATS = (KeyFormat.AUTO, KeyFormat.DIFFUSION_MODEL, KeyFormat.KOHYA)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ComfyUI looks for LoRAs."""
    paths = importlib.import_module("folder_paths")
    monkeypatch.setitem(paths.folder_names_and_paths, "loras", ([str(tmp_path)], {".safetensors"}))
    return tmp_path


@pytest.fixture
def complaints(caplog: pytest.LogCaptureFixture) -> Generator[list[str]]:
    with caplog.at_level(logging.WARNING):
        yield caplog.messages


def by_lora_loader(model: Any, path: Path) -> Any:
    loader = importlib.import_module("nodes").LoraLoader()
    return loader.load_lora(model, None, path.name, 1.0, 1.0)[0]


def by_lora_model_loader(model: Any, path: Path) -> Any:
    node = importlib.import_module("comfy_extras.nodes_train").LoraModelLoader
    return node.execute(model, load_lora(path), 1.0, False).result[0]


def saved(name: str, folder: Path) -> dict[Path, list[str]]:
    """A file of each algorithm in each key format, and the layers in it."""
    files: dict[Path, list[str]] = {}
    generator = torch.Generator().manual_seed(0)
    with open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser, torch.no_grad():
        for algorithm in Algorithm:
            config = LoraConfig(rank=2, alpha=1, algorithm=algorithm, conv=name in UNETS)
            adapters = LoraAdapters(
                denoiser.module, config, denoiser.default_targets, generator, denoiser.device, torch.float32
            )
            for parameter in adapters.parameters:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
            for key_format in FORMATS:
                path = folder / f"{algorithm.value}-{key_format.value}.safetensors"
                metadata = {"modelspec.architecture": f"{denoiser.lora_architecture}/lora"}
                save_lora(path, adapters.state_dict(), metadata, key_format)
                files[path] = list(adapters.layer_names)
    return files


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_comfyuis_lora_nodes_know_every_key(name: str, folder: Path, complaints: list[str]) -> None:
    """As named and merged as they ask for: no key is left over, no layer without its patch."""
    files = saved(name, folder)
    assert len(files) == len(Algorithm) * len(FORMATS)
    with torch.inference_mode():
        for (path, layers), load in itertools.product(files.items(), (by_lora_loader, by_lora_model_loader)):
            patched = load(tiny.load_model(name), path)
            expected = {f"diffusion_model.{layer}.weight" for layer in layers}
            assert set(patched.patches) == expected, (path.name, load.__name__)
        own = load_lora(folder / "lora-auto.safetensors")
        architecture = own.metadata["modelspec.architecture"]
        kohya = chosen_format(KeyFormat.AUTO, architecture) is KeyFormat.KOHYA
        assert all(key.startswith("lora_unet_" if kohya else "diffusion_model.") for key in own)
        assert architecture.endswith("/lora")
        for path in files:
            if path.stem.endswith("-auto"):
                merged_into_each(by_lora_loader(tiny.load_model(name), path))
    assert not [text for text in complaints if "not loaded" in text.lower() or "error" in text.lower()]


def merged_into_each(patched: Any) -> None:
    """ComfyUI computes every patched weight, and each differs from what it was."""
    for key in patched.patches:
        weight = patched.get_model_object(key)
        patches = patched.patches[key]
        merged = tiny.comfy.lora.calculate_weight([*patches], weight.clone(), key)
        assert not torch.equal(merged, weight), key
