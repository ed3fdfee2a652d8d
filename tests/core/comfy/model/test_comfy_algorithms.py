"""Adapters of every algorithm: trained, saved, and merged into the model by ComfyUI's own loader, where they must do
what they did beside it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm, LoraConfig
from maskloss.core.train.lora_file import KeyFormat, save_lora
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

import comfy.sd  # isort: skip
import comfy.utils  # isort: skip

pytestmark = pytest.mark.comfy


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def prediction(denoiser: ComfyDenoiser, name: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (2, *tiny.latent_shape(name))
    shape = shape if len(shape) == 5 else (*shape[:2], 1, *shape[2:])
    clean, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    texts = [tiny.text_for(name, length=4, seed=seed) for seed in (1, 2)]
    return denoiser.predict(clean, noise, torch.tensor([0.3, 0.8]), texts, False)


@pytest.mark.parametrize(
    ("name", "conv"), [("wan", False), ("flux", False), ("qwen_image", False), ("sd15", True), ("sdxl", True)]
)
@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_comfyui_merges_what_was_trained_and_predicts_the_same(
    algorithm: Algorithm, name: str, conv: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    targets = r"attn|\.ff\.|in_layers|out_layers|proj_in" if conv else ""
    config = LoraConfig(rank=3, alpha=2, algorithm=algorithm, conv=conv, targets=targets)
    text = tiny.text_for(name, length=4, seed=0)
    with torch.inference_mode(), open_denoiser(tiny.load_model(name), text) as denoiser, torch.enable_grad():
        base = prediction(denoiser, name).detach()
        generator = torch.Generator().manual_seed(0)
        arguments = (denoiser.default_targets, generator, denoiser.device, torch.float32)
        adapters = LoraAdapters(denoiser.module, config, *arguments)
        optimizer = torch.optim.Adam(adapters.parameters, lr=0.02)
        with adapters.attach():
            assert torch.equal(prediction(denoiser, name).detach(), base)
            for _ in range(3):
                optimizer.zero_grad()
                with denoiser.autograd_context(False):
                    prediction(denoiser, name).square().mean().backward()
                # All of them but the last block's share of a stream that the model throws away.
                assert sum(parameter.grad is not None for parameter in adapters.parameters) > 0.6 * len(
                    adapters.parameters
                )
                optimizer.step()
            trained = prediction(denoiser, name).detach()
        assert all(parameter.grad is None for parameter in denoiser.module.parameters())
    save_lora(
        tmp_path / "a.safetensors", adapters.state_dict(), {"modelspec.architecture": denoiser.lora_architecture},
        KeyFormat.AUTO,
    )  # fmt: skip

    file = comfy.utils.load_torch_file(str(tmp_path / "a.safetensors"))
    with caplog.at_level(logging.WARNING), torch.inference_mode():
        patched, _ = comfy.sd.load_lora_for_models(tiny.load_model(name), None, dict(file), 1.0, 0.0)
        assert len(patched.patches) == len(adapters.layer_names)
        with open_denoiser(patched, text) as denoiser:
            merged = prediction(denoiser, name).detach()
    assert not [message for message in caplog.messages if "NOT LOADED" in message or "ERROR" in message]
    change = (trained - base).norm()
    assert change > 1e-3 * base.norm()
    assert (merged - trained).norm() < 0.02 * change
