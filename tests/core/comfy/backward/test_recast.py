"""Weights that are cast or fetched as layers run: low precision, quantised, and through a buffer that is used again."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model import denoiser as denoiser_module
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.comfy.model.held_model import held_layers
from maskloss.core.errors import TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.offloaded import streamed

import comfy.ops  # isort: skip
import comfy.sd  # isort: skip

pytestmark = pytest.mark.comfy


def gradients(model: Any, name: str, checkpoint: bool = True, base: BaseConfig | None = None) -> torch.Tensor:
    """Those of a LoRA that already does something, always the same one."""
    generator = torch.Generator().manual_seed(7)
    clean, noise = (torch.randn(2, *tiny.latent_shape(name), generator=generator) for _ in range(2))
    texts = [tiny.text_for(name, seed=seed) for seed in (0, 1)]
    with open_denoiser(model, texts[0], base=base) as denoiser:
        arguments = (denoiser.default_targets, torch.Generator().manual_seed(0), denoiser.device, torch.float32)
        adapters = LoraAdapters(denoiser.module, LoraConfig(rank=4, alpha=4), *arguments)
        with torch.no_grad():
            for parameter in adapters.parameters:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        with adapters.attach(), denoiser.autograd_context(checkpoint):
            denoiser.predict(clean, noise, torch.tensor([0.3, 0.7]), texts, checkpoint).square().mean().backward()
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in adapters.parameters])


def from_weights(weights: dict[str, torch.Tensor]) -> Any:
    with torch.inference_mode():
        return comfy.sd.load_diffusion_model_state_dict(dict(weights), model_options={"dtype": torch.float32})


def weights_of(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in model.model.diffusion_model.state_dict().items()}


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", ["wan", "flux", "sd15"])
def test_gradients_of_low_precision_weights_are_those_of_the_same_values_in_fp32(name: str, checkpoint: bool) -> None:
    model = tiny.load_model(name, torch.float8_e4m3fn)
    found = gradients(model, name, checkpoint)
    expected = gradients(from_weights(weights_of(model)), name, checkpoint)
    assert expected.norm() > 0
    assert (found - expected).norm() < 1e-5 * expected.norm()


def quantised_weights(name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A checkpoint in ComfyUI's scaled fp8 format, and the values that it stands for."""
    stored, meant = {}, {}
    for key, value in weights_of(tiny.load_model(name)).items():
        stored[key] = meant[key] = value
        if value.ndim == 2 and "blocks" in key and key.endswith(".weight"):
            scale = value.abs().max() / 448
            stored[key] = (value / scale).to(torch.float8_e4m3fn)
            meant[key] = stored[key].float() * scale
            stored[key + "_scale"] = scale
            said = json.dumps({"format": "float8_e4m3fn", "full_precision_matrix_mult": True})
            stored[key.removesuffix("weight") + "comfy_quant"] = torch.tensor(list(said.encode()), dtype=torch.uint8)
    return stored, meant


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", ["wan", "flux"])
def test_quantised_layers_train_as_the_values_they_stand_for(name: str, checkpoint: bool) -> None:
    stored, meant = quantised_weights(name)
    model = from_weights(stored)
    kinds = {type(parameter.data).__name__ for parameter in model.model.diffusion_model.parameters()}
    assert "QuantizedTensor" in kinds, "else this tests nothing"
    before = tiny.sampled(model, name)
    found, expected = gradients(model, name, checkpoint), gradients(from_weights(meant), name, checkpoint)
    assert found.shape == expected.shape, "quantised layers got their adapters"
    assert (found - expected).norm() < 1e-4 * expected.norm()
    assert torch.equal(tiny.sampled(model, name), before)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_quantised_blocks_may_be_in_main_memory(checkpoint: bool) -> None:
    stored, _ = quantised_weights("wan")
    model = from_weights(stored)
    expected = gradients(model, "wan", checkpoint)
    for count in (1, 2):
        assert torch.equal(gradients(model, "wan", checkpoint, BaseConfig(blocks_in_main_memory=count)), expected)
    held = held_layers(model.model, BaseConfig(blocks_in_main_memory=1))
    assert {type(each.layer.weight.data).__name__ for each in held} == {"QuantizedTensor"}, "else this tests nothing"
    with pytest.raises(TrainingError, match="base_precision is int8, but the model is quantised already"):
        gradients(model, "wan", checkpoint, BaseConfig(BasePrecision.INT8))


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", ["wan", "flux", "hunyuan_video", "sd15"])
def test_a_buffer_that_is_used_again_spoils_no_gradient(
    name: str, checkpoint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = gradients(tiny.load_model(name), name, checkpoint)
    model = tiny.load_model(name)
    with streamed(model, monkeypatch):
        found = gradients(model, name, checkpoint)
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("name", ["wan", "flux", "hunyuan_video", "sd15"])
def test_the_check_at_the_start_refuses_gradients_through_such_a_buffer(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without casting again checkpointed and plain gradients agree, and are equally wrong."""
    model = tiny.load_model(name)
    monkeypatch.setattr(denoiser_module, "recast_layers", nullcontext)
    with streamed(model, monkeypatch), pytest.raises(TrainingError, match="overwritten before the backward"):
        gradients(model, name)


def test_no_cast_weight_is_saved_for_the_backward_pass() -> None:
    def kept(denoiser: ComfyDenoiser, run: Callable[[], torch.Tensor]) -> int:
        places: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            places[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            held = run()
        assert held.requires_grad
        return sum(places.values())

    model = tiny.load_model("flux", torch.float8_e4m3fn)
    text = tiny.text_for("flux", length=1)
    with open_denoiser(model, text) as denoiser:
        clean = torch.randn(1, *tiny.latent_shape("flux", height=2, width=2)).requires_grad_(True)
        run = lambda: denoiser.predict(clean, torch.zeros_like(clean), torch.ones(1) / 2, [text], False)  # noqa: E731
        # Two tokens keep little; the cast weights of all layers would be four bytes for each of these.
        assert kept(denoiser, run) < sum(parameter.numel() for parameter in denoiser.module.parameters())


def test_layers_are_left_as_they_were() -> None:
    model = tiny.load_model("wan", torch.float8_e4m3fn)
    network = model.model.diffusion_model
    with suppress(ZeroDivisionError), open_denoiser(model, tiny.text_for("wan")):
        assert "forward" in vars(network.blocks[0].self_attn.q)
        raise ZeroDivisionError
    assert not any("forward" in vars(module) for module in network.modules())
