"""diffusers' models with random weights, as small as the tiny ComfyUI models that they are the same network as, and its
own loaders of LoRAs. Skips where diffusers, PEFT or ComfyUI is missing.

What a LoRA should do to diffusers' model is found by diffusers' own converter of checkpoints: converted with the LoRA
merged and without, ComfyUI's weights differ by what each of diffusers' layers has to change.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from . import tiny_models as tiny
from .diffusers_twins import TWINS, Weights  # skips where diffusers or PEFT is missing
from .tiny_networks import NETWORKS

import diffusers  # isort: skip
import diffusers.loaders.lora_pipeline as pipelines  # isort: skip
from peft.tuners.tuners_utils import BaseTunerLayer  # isort: skip


def _resize_linears(model: torch.nn.Module, weights: Weights) -> None:
    for module_name, layer in model.named_modules():
        weight = weights.get(f"{module_name}.weight")
        if isinstance(layer, torch.nn.Linear) and weight is not None and layer.weight.shape != weight.shape:
            layer.weight = torch.nn.Parameter(torch.zeros(weight.shape))
            layer.out_features, layer.in_features = weight.shape


@lru_cache(maxsize=2)
def comfy_model(name: str) -> Any:
    """ComfyUI's MODEL of the twin."""
    NETWORKS[f"twin_{name}"] = TWINS[name].network
    return tiny.load_model(f"twin_{name}")


def diffusers_model(name: str) -> Any:
    """diffusers' model, with ComfyUI's weights in every layer that has them."""
    twin = TWINS[name]
    torch.manual_seed(0)
    model = getattr(diffusers, twin.kind)(**twin.config)
    weights = {key: value for key, value in converted(name).items() if value is not None}
    if name == "mochi":
        # ComfyUI's class has the width of the real feed-forward written out, diffusers' has it follow the hidden size.
        _resize_linears(model, weights)
    own = model.state_dict()
    fitting = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    model.load_state_dict({**own, **fitting})
    return model


def converted(name: str, deltas: Weights | None = None) -> Weights:
    """ComfyUI's weights under diffusers' names, with `deltas` by module name added first."""
    with torch.inference_mode(False):
        weights = {
            key: value.detach().clone().float()
            for key, value in comfy_model(name).model.diffusion_model.state_dict().items()
        }
        for module, delta in (deltas or {}).items():
            weights[f"{module}.weight"] = weights[f"{module}.weight"] + delta.reshape(weights[f"{module}.weight"].shape)
        return dict(TWINS[name].convert(weights))


def expected_changes(name: str, deltas: Weights) -> Weights:
    """By name of diffusers' layers, what a LoRA that changes ComfyUI's layers by `deltas` has to change."""
    before, after = converted(name), converted(name, deltas)
    changes = {
        key.removesuffix(".weight"): after[key] - before[key]
        for key in after
        if key.endswith(".weight") and before[key] is not None and not torch.equal(after[key], before[key])
    }
    return changes


def loaded_changes(name: str, path: Path) -> Weights:
    """What diffusers' own loader makes of the file: by name of its layers, by how much merging changes their weights.
    Whatever it raises comes out."""
    twin = TWINS[name]
    model = diffusers_model(name)
    if twin.loader:
        members = {twin.part: model, "text_encoder": None, "text_encoder_2": None, "hf_device_map": None}
        loader = type("Loader", (getattr(pipelines, twin.loader),), {**members, "components": {}})()
        loader.load_lora_weights(str(path))
    else:
        model.load_lora_adapter(str(path), prefix=twin.part)
    changes: Weights = {}
    for module, layer in model.named_modules():
        if isinstance(layer, BaseTunerLayer):
            weight = layer.get_base_layer().weight
            before = weight.detach().clone()
            with torch.no_grad():
                layer.merge()
            changes[module] = weight.detach() - before
    return changes


@contextmanager
def warnings_of_diffusers() -> Iterator[list[str]]:
    """What diffusers and PEFT log as warnings meanwhile; diffusers' loggers hand nothing on."""
    heard: list[str] = []

    class _Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    ear = _Ear(logging.WARNING)
    loggers = [logging.getLogger(each) for each in ("diffusers", "peft")]
    for each in loggers:
        each.addHandler(ear)
    try:
        yield heard
    finally:
        for each in loggers:
            each.removeHandler(ear)


def difference(found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> tuple[int, int, float]:
    """How many layers of `wanted` are changed as they should, how many there are, and how far the others are off in
    proportion. A change of what should stay counts as off."""
    right, worst = 0, 0.0
    for name in {*found, *wanted}:
        zero = torch.zeros_like(found[name] if name in found else wanted[name])
        mine, its = wanted.get(name, zero), found.get(name, zero)
        off = float((its.reshape(mine.shape) - mine).norm() / mine.norm().clamp(min=1e-12))
        right += off < 1e-4 and name in wanted
        worst = max(worst, off)
    return right, len(wanted), worst


def short(problem: str) -> str:
    """The first sentence of a message, on one line."""
    return re.split(r"(?<=[.:!])\s|\n", problem.strip())[0][:160]
