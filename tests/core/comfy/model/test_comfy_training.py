"""ComfyUI's own models trained by the loop, from a cache that ComfyUI's VAE filled, and the LoRAs back in ComfyUI."""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.encoders import ComfyLatentEncoder, ComfyTextEncoder
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.identity import model_identity
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import TrainingError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.lora_file import LoraWeights
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.nodes.training import MaskLossTrainLora
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

import comfy.sd  # isort: skip
import comfy.utils  # isort: skip

pytestmark = pytest.mark.comfy


class MadeUpText:
    """In place of a CLIP whose embeddings are too wide for a small model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.identity = f"made-up-{name}"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        return tiny.text_for(self.name, length=4 if caption else 6, seed=len(caption))


def make_cache(name: str, directory: Path, mask_value: int | None = None) -> LatentCache:
    """Two noisy pictures of 32×32 px with masks (left half, or `mask_value` everywhere), through a real VAE; for SDXL
    through a real CLIP as well."""
    generator = np.random.default_rng(0)
    items = []
    for stem in ("a", "bb"):
        path = directory / f"{stem}.png"
        save_image(path, generator.integers(0, 256, (32, 32, 3), dtype=np.uint8))
        mask = np.zeros((32, 32), np.uint8)
        mask[:, :16] = 255
        save_image(directory / "masks" / f"{stem}.png", mask if mask_value is None else np.full_like(mask, mask_value))
        settings = LoadSettings(resolution=(32, 32))
        items.append(DatasetItem(stem, path, settings, directory / "masks" / f"{stem}.png", f"caption {stem}"))
    vae = tiny.load_vae("sd" if tiny.latent_shape(name)[0] == 4 else "wan")
    cache, _ = cache_latents(Dataset(tuple(items)), ComfyLatentEncoder(vae), directory / "cache", batch_size=2)
    text = ComfyTextEncoder(tiny.load_clip("sdxl")) if name == "sdxl" else MadeUpText(name)
    return cache_text(cache, text)[0]


def run(
    name: str, cache: LatentCache, output: Path, settings: MaskLossSettings | None, **config: object
) -> TrainResult:
    chosen = {"steps": 3, "training_dtype": TrainingDtype.FP32, **config}
    with torch.inference_mode(), open_denoiser(tiny.load_model(name), cache.empty_text()) as denoiser:
        lora, optimizer = LoraConfig(rank=4, alpha=2), OptimizerConfig(learning_rate=0.01)
        return train(denoiser, TrainingRecipe(cache, settings, lora, optimizer, TrainConfig(**chosen)), output)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Generator[list[str]]:
    with caplog.at_level(logging.WARNING):
        yield caplog.messages


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_what_is_trained_loads_in_comfyui_and_does_the_same_there(
    name: str, tmp_path: Path, warnings: list[str]
) -> None:
    cache = make_cache(name, tmp_path)
    model = tiny.load_model(name)
    before = tiny.sampled(model, name)
    result = run(name, cache, tmp_path / "lora", MaskLossSettings(gamma=1.5), batch_size=2)
    assert result.steps == 3
    assert all(np.isfinite(point.loss) for point in result.points)
    assert torch.equal(tiny.sampled(tiny.load_model(name), name), before)

    file = comfy.utils.load_torch_file(str(result.path))
    assert all(key.startswith("lora_unet_") for key in file)
    patched, _ = comfy.sd.load_lora_for_models(tiny.load_model(name), None, dict(file), 1.0, 0.0)
    assert len(patched.patches) == sum(key.endswith(".alpha") for key in file)
    with_lora = tiny.sampled(patched, name)
    assert not [text for text in warnings if "NOT LOADED" in text or "not loaded" in text]
    assert not torch.equal(with_lora, before)
    assert torch.equal(tiny.sampled(tiny.load_model(name), name), before)


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_a_mask_of_ones_is_no_mask_bit_for_bit(name: str, tmp_path: Path) -> None:
    cache = make_cache(name, tmp_path, mask_value=255)
    masked = run(name, cache, tmp_path / "masked", MaskLossSettings(), steps=2)
    plain = run(name, cache, tmp_path / "plain", None, steps=2)
    assert masked.lora.keys() == plain.lora.keys()
    assert all(torch.equal(masked.lora[key], plain.lora[key]) for key in plain.lora)
    assert [point.loss for point in masked.points] == [point.loss for point in plain.points]


@pytest.mark.parametrize("name", tiny.ARCHITECTURES)
def test_a_batch_trains_as_its_accumulation_and_checkpointing_changes_nothing(name: str, tmp_path: Path) -> None:
    cache = make_cache(name, tmp_path)
    batch = run(name, cache, tmp_path / "batch", MaskLossSettings(), steps=2, batch_size=2)
    accumulated = run(
        name, cache, tmp_path / "accumulated", MaskLossSettings(), steps=2, gradient_accumulation_steps=2,
        gradient_checkpointing=False,
    )  # fmt: skip
    for first, second in zip(batch.points, accumulated.points, strict=True):
        assert first.loss == pytest.approx(second.loss, rel=1e-4)
        assert first.grad_norm == pytest.approx(second.grad_norm, rel=1e-3)


def test_the_node_checkpoints_where_it_does_not_fit_without_and_goes_on_where_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, model = make_cache("wan", tmp_path), tiny.load_model("wan")

    def run_node(output: str, steps: int) -> tuple[list[str], LoraWeights]:
        outputs = MaskLossTrainLora().run(
            model, cache, steps, lora_config=LoraConfig(rank=4, alpha=4), training_dtype="fp32", output_name=output,
            gradient_checkpointing=False, fit="checkpoint",
        )  # fmt: skip
        return outputs["ui"]["text"], outputs["result"][0]

    with use_host(LocalHost(tmp_path, tmp_path)), torch.inference_mode():
        roomy, plain = run_node("roomy", 4)
        with monkeypatch.context() as scarce:
            scarce.setattr(tiny.management, "get_free_memory", lambda _: 2**20)
            tight, checkpointed = run_node("tight", 2)
        longer, whole = run_node("tight", 4)
    assert any("gradient_checkpointing stays off" in text for text in roomy)
    assert any("gradient_checkpointing is on: without it" in text for text in tight)
    assert any("Going on after step 2 of 4" in text for text in longer)
    said = [lora.metadata["ss_gradient_checkpointing"] for lora in (plain, checkpointed, whole)]
    assert said == ["False", "True", "False"]
    assert all(torch.equal(whole[key], plain[key]) for key in plain)


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", ["wan", "flux", "sdxl"])
def test_prior_preservation_and_bf16_arithmetic_run(name: str, checkpoint: bool, tmp_path: Path) -> None:
    cache = make_cache(name, tmp_path)
    settings = MaskLossSettings(prior_weight=0.5)
    shared = {"steps": 2, "gradient_checkpointing": checkpoint}
    exact = run(name, cache, tmp_path / "fp32", settings, **shared)
    rough = run(name, cache, tmp_path / "bf16", settings, training_dtype=TrainingDtype.BF16, **shared)
    for first, second in zip(exact.points, rough.points, strict=True):
        assert first.loss == pytest.approx(second.loss, rel=0.05)
        assert first.grad_norm == pytest.approx(second.grad_norm, rel=0.1)
    without = run(name, cache, tmp_path / "plain", MaskLossSettings(), **shared)
    assert exact.points[1].loss != without.points[1].loss


@pytest.mark.parametrize(("name", "unasked"), [("flux", 3.5), ("hunyuan_video", 6.0)])
def test_the_node_tells_a_guidance_distilled_model_what_it_is_asked_to(
    name: str, unasked: float, tmp_path: Path
) -> None:
    cache, model = make_cache(name, tmp_path), tiny.load_model(name)

    def run_node(output: str, **guidance: float) -> tuple[dict[str, Any], LoraWeights]:
        lora = LoraConfig(rank=4, alpha=4)
        outputs = MaskLossTrainLora().run(
            model, cache, 2, lora_config=lora, training_dtype="fp32", output_name=output, **guidance
        )
        return outputs["ui"], outputs["result"][0]

    with use_host(LocalHost(tmp_path, tmp_path)), torch.inference_mode():
        plain, plain_lora = run_node("plain")
        same, same_lora = run_node("same", guidance=unasked)
        other, other_lora = run_node("other", guidance=1.0)
        with pytest.raises(TrainingError, match=r"differs in model: \S+ there, \S+ now"):
            run_node("plain", guidance=1.0)
        again, _ = run_node("plain", guidance=0.0)
    assert any("nothing to train" in text for text in again["text"])
    assert plain["maskloss"][0]["loss"] == same["maskloss"][0]["loss"] != other["maskloss"][0]["loss"]
    assert all(torch.equal(plain_lora[key], same_lora[key]) for key in plain_lora)
    ups = [key for key in plain_lora if key.endswith("lora_up.weight")]
    assert not any(torch.equal(plain_lora[key], other_lora[key]) for key in ups)
    said = [lora.metadata.get("ss_guidance_scale") for lora in (plain_lora, same_lora, other_lora)]
    assert said == [None, str(unasked), "1.0"]
    assert not any("ignores" in text for ui in (plain, same, other) for text in ui["text"])


@pytest.mark.parametrize("name", ["wan", "qwen_image", "sdxl", "sd3"])
def test_what_is_not_guidance_distilled_is_the_same_model_whatever_it_is_told(name: str) -> None:
    model = tiny.load_model(name)
    assert model_identity(model, 1.0) == model_identity(model)
    with open_denoiser(model, tiny.text_for(name), 1.0) as denoiser:
        assert denoiser.guidance is None


@pytest.mark.parametrize("name", ["wan", "flux"])
def test_an_interrupt_in_the_backward_pass_leaves_a_lora_and_the_model_as_it_was(name: str, tmp_path: Path) -> None:
    """ComfyUI raises its interrupt inside of a layer, here while a block is recomputed in the third step."""
    cache = make_cache(name, tmp_path)
    model = tiny.load_model(name)
    before = tiny.sampled(model, name)
    layer = next(module for module in model.model.diffusion_model.modules() if type(module).__name__.endswith("Block"))
    calls: list[bool] = []

    def interrupt(*_: object) -> None:
        calls.append(torch.is_grad_enabled())
        # Forwards run without gradients, recomputations with.
        if sum(calls) == 5:
            tiny.management.interrupt_current_processing()

    probe = next(module for module in layer.modules() if isinstance(module, torch.nn.Linear))
    hook = probe.register_forward_hook(interrupt)
    try:
        with pytest.raises(tiny.management.InterruptProcessingException):
            run(name, cache, tmp_path / "lora", MaskLossSettings(), steps=50)
    finally:
        hook.remove()
        tiny.management.interrupt_current_processing(False)
    assert not tiny.management.in_training
    assert comfy.utils.load_torch_file(str(tmp_path / "lora.safetensors"))
    assert torch.equal(tiny.sampled(model, name), before)
