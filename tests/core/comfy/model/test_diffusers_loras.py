"""LoRA files with `key_format` diffusers in diffusers' own loaders: every layer, every algorithm, exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.architectures import architecture_of
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm, LoraConfig
from maskloss.core.train.lora_file import KeyFormat, save_lora
from maskloss.core.train.lora_layers import MAGNITUDE, as_product, layers_of
from tiny_comfy import tiny_diffusers as twins  # skips where diffusers or ComfyUI is missing

pytestmark = pytest.mark.comfy


def weight_of(network: Any, module: str) -> torch.Tensor:
    return network.diffusion_model.get_submodule(module).weight.detach().float()


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("name", twins.TWINS)
def test_diffusers_changes_every_layer_as_it_was_trained(name: str, algorithm: Algorithm, tmp_path: Path) -> None:
    network = twins.comfy_model(name).model
    known = architecture_of(network)
    with torch.inference_mode(False), torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        config = LoraConfig(rank=3, alpha=2, algorithm=algorithm, conv=twins.TWINS[name].conv)
        adapters = LoraAdapters(
            network.diffusion_model, config, known.targets, generator, torch.device("cpu"), torch.float32
        )
        for parameter in adapters.parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        changes: dict[str, torch.Tensor] = {}
        for stem, parts in layers_of(adapters.state_dict()).items():
            module = stem.removeprefix("diffusion_model.")
            product, weight = as_product(module, parts), weight_of(network, module).double()
            delta = (product.up.double().flatten(1) @ product.down.double().flatten(1)).reshape(weight.shape)
            if MAGNITUDE in parts:
                factor = parts[MAGNITUDE].double().flatten() / weight.flatten(1).norm(dim=1)
                delta = (weight + delta) * factor.reshape(-1, *(1 for _ in weight.shape[1:])) - weight
            changes[module] = delta.float()
        path = tmp_path / "a.safetensors"
        metadata = {"modelspec.architecture": f"{known.name}/lora"}
        save_lora(path, adapters.state_dict(), metadata, KeyFormat.DIFFUSERS, lambda module: weight_of(network, module))
    with twins.warnings_of_diffusers() as heard:
        found = twins.loaded_changes(name, path)
    wanted = twins.expected_changes(name, changes)
    right, layers, worst = twins.difference(found, wanted)
    assert (right, len(found)) == (layers, layers), worst
    assert layers >= len(changes)
    # Pipelines with text encoders say that these have none in the file.
    assert not [text for text in heard if "prefix='text_encoder" not in text]
