"""WAN VACE, small and random: given videos with a hole as ComfyUI's own node gives them, trained right."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.inpainting import HOLE_CHANNELS, VACE, VACE_ARCHITECTURE, vace_conditioning
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.encoders import ComfyLatentEncoder
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.planned import planned_model
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import CacheError
from maskloss.core.frozen.config import BaseConfig
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.recipe import TrainingRecipe
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import adapted, check_gradients
from tiny_comfy.passes import passes

import comfy.samplers  # isort: skip
import comfy.sd  # isort: skip
import comfy.utils  # isort: skip

pytestmark = pytest.mark.comfy

NAME = "wan_vace"
FRAMES, HEIGHT, WIDTH = 9, 64, 96


def text(seed: int = 0) -> dict[str, torch.Tensor]:
    """A caption as ComfyUI's text encoder gives it to WAN."""
    own = tiny.text_for("wan", length=20, seed=seed)["cross_attn"]
    return {"cross_attn": torch.nn.functional.pad(own, (0, 0, 0, 512 - own.shape[1]))}


def video(seed: int, frames: int = FRAMES) -> torch.Tensor:
    return torch.rand(1, frames, HEIGHT, WIDTH, 3, generator=torch.Generator().manual_seed(seed))


def hole(left: int = 20, frames: int = FRAMES) -> torch.Tensor:
    """A hole that moves by 3 px each frame, whose edges are on no cell's."""
    mask = torch.zeros(frames, HEIGHT, WIDTH)
    for frame in range(frames):
        mask[frame, 10:41, left + 3 * frame : left + 3 * frame + 29] = 1
    return mask


def given(seed: int, left: int = 20, frames: int = FRAMES) -> dict[str, torch.Tensor]:
    encoder = ComfyLatentEncoder(tiny.load_vae("wan"), VACE_ARCHITECTURE)
    weights = hole(left, frames).numpy() * 0.3
    return {**text(seed), VACE: vace_conditioning(video(seed, frames), [weights], ["a"], encoder)}


def inputs(batch: int, frames: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    clean, noise = (torch.randn(batch, 16, frames, 8, 12, generator=generator) for _ in range(2))
    return clean, noise, torch.linspace(0.3, 0.7, batch)


@pytest.mark.parametrize("frames", [FRAMES, 1])
def test_the_model_is_given_what_comfyuis_own_node_and_sampler_give(frames: int) -> None:
    """One Euler step from the middle to the end with WanVaceToVideo's conditioning, and the same by the denoiser."""
    model, vae, sigma = tiny.load_model(NAME), tiny.load_vae("wan"), 0.5
    latent_frames = (frames - 1) // 4 + 1
    generator = torch.Generator().manual_seed(2)
    raw, noise = (torch.randn(1, 16, latent_frames, 8, 12, generator=generator) for _ in range(2))
    own, caption = given(1, frames=frames), text(1)
    untouched = own[VACE].clone()
    node = importlib.import_module("comfy_extras.nodes_wan").WanVaceToVideo
    seen: list[dict[str, Any]] = []
    hook = model.model.diffusion_model.register_forward_pre_hook(
        lambda _m, args, kwargs: seen.append({"x": args[0].clone(), **kwargs}), with_kwargs=True
    )
    with torch.inference_mode():
        embedded = [[caption["cross_attn"], {}]]
        positive, _, _, _ = node.execute(
            embedded, embedded, vae, WIDTH, HEIGHT, frames, 1, 1.0, control_video=video(1, frames)[0],
            control_masks=hole(frames=frames),
        ).result  # fmt: skip
        (shown,), (mask,) = positive[0][1]["vace_frames"], positive[0][1]["vace_mask"]
        assert torch.equal(own[VACE][:, :HOLE_CHANNELS], mask)
        assert torch.equal(own[VACE][:, HOLE_CHANNELS:], shown)
        guider = comfy.samplers.CFGGuider(model)
        guider.inner_set_conds({"positive": positive})
        guider.set_cfg(1.0)
        sampler = comfy.samplers.sampler_object("euler")
        made = guider.sample(noise, raw, sampler, torch.tensor([sigma, 0.0]), disable_pbar=True, seed=0)
        expected = model.model.process_latent_in(made)
    hook.remove()
    with open_denoiser(model, caption) as denoiser, torch.no_grad():
        assert denoiser.image_channels == 96
        assert "WanVaceToVideo" in denoiser.notes[0]
        theirs = seen[0]
        seen.clear()
        hook = denoiser.module.register_forward_pre_hook(
            lambda _m, args, kwargs: seen.append({"x": args[0].clone(), **kwargs}), with_kwargs=True
        )
        clean = denoiser.normalise(raw)
        difference = denoiser.predict(clean, noise, torch.tensor([sigma]), [own], False)
        again = denoiser.predict(clean, noise, torch.tensor([sigma]), [own], False)
        hook.remove()
        other = denoiser.predict(clean, noise, torch.tensor([sigma]), [given(1, left=40, frames=frames)], False)
    assert seen[0]["vace_context"].shape == (1, 1, 96, latent_frames, 8, 12)
    assert torch.equal(seen[0]["vace_context"], theirs["vace_context"])
    assert seen[0]["vace_strength"] == theirs["vace_strength"] == [1.0]
    torch.testing.assert_close(seen[0]["x"], theirs["x"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(clean - sigma * difference, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(difference, again)
    assert torch.equal(own[VACE], untouched)
    assert not torch.allclose(difference, other, atol=1e-4), "the hole acts"


def test_a_batch_is_its_samples_each_with_its_own_hole() -> None:
    with open_denoiser(tiny.load_model(NAME), text()) as denoiser:
        assert passes(denoiser, inputs(3), [given(seed, 10 * seed) for seed in range(3)]) == [3]


@pytest.mark.parametrize("targets", ["", r"^(vace_)?blocks\.\d+\."])
def test_gradients_are_right(targets: str) -> None:
    """Of the blocks that it shares with the text-to-video model, and of its own where they are asked for."""
    own = [given(seed) for seed in range(2)]
    with adapted(NAME, targets, example=text()) as (denoiser, adapters):
        assert {layer.split(".")[0] for layer in adapters.layer_names} == (
            {"blocks", "vace_blocks"} if targets else {"blocks"}
        )
        check_gradients(
            lambda checkpoint: denoiser.predict(*inputs(2), own, checkpoint).square().mean(), denoiser, adapters
        )


@pytest.mark.parametrize("blocks", [1, 3])
def test_its_blocks_may_be_in_main_memory(blocks: int) -> None:
    """Which run in another order than they are listed in: one of VACE's own after the first of WAN's."""
    own, predicted = [given(1)], list[torch.Tensor]()
    for base in (BaseConfig(), BaseConfig(blocks_in_main_memory=blocks)):
        with open_denoiser(tiny.load_model(NAME), text(), base=base) as denoiser, torch.no_grad():
            predicted.append(denoiser.predict(*inputs(1), own, False))
    assert torch.equal(*predicted)


class MadeUpText:
    identity = "made-up"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        return text(len(caption))


def test_from_photographs_to_a_lora_that_comfyui_loads_on_vace_and_on_text_to_video(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    save_image(tmp_path / "a.png", generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
    save_image(tmp_path / "masks/a.png", (hole()[0].numpy() * 200).astype(np.uint8))
    item = DatasetItem("a", tmp_path / "a.png", LoadSettings((80, 80)), tmp_path / "masks/a.png", "a caption")
    before = tiny.sampled(tiny.load_model(NAME), NAME)

    def trained(folder: str, architecture: str) -> TrainResult:
        encoder = ComfyLatentEncoder(tiny.load_vae("wan"), architecture)
        cache, _ = cache_latents(
            Dataset((item,)), encoder, tmp_path / f"cache_{folder}", CacheSettings(image_conditioning=True)
        )
        assert cache.entries[0].file.endswith(f"_{architecture or 'wan'}.safetensors")
        cache, _ = cache_text(cache, MadeUpText())
        planned = planned_model(tiny.load_model(NAME), cache)
        assert planned.image_channels == 96
        with torch.inference_mode(), open_denoiser(tiny.load_model(NAME), cache.example_text()) as denoiser:
            lora, optimizer = LoraConfig(rank=4, alpha=2), OptimizerConfig(learning_rate=0.01)
            config = TrainConfig(steps=2, training_dtype=TrainingDtype.FP32)
            recipe = TrainingRecipe(cache, MaskLossSettings(), lora, optimizer, config)
            return train(denoiser, recipe, tmp_path / folder)

    with pytest.raises(CacheError, match="for WAN VACE with architecture vace"):
        trained("first_frames", "")
    result = trained("lora", VACE_ARCHITECTURE)
    assert all(np.isfinite(point.loss) for point in result.points)
    file = comfy.utils.load_torch_file(str(result.path))
    layers = sum(key.endswith(".alpha") for key in file)
    for name in (NAME, "wan"):
        patched, _ = comfy.sd.load_lora_for_models(tiny.load_model(name), None, dict(file), 1.0, 0.0)
        assert len(patched.patches) == layers > 0
    with_lora, _ = comfy.sd.load_lora_for_models(tiny.load_model(NAME), None, dict(file), 1.0, 0.0)
    assert not torch.equal(tiny.sampled(with_lora, NAME), before)
    assert torch.equal(tiny.sampled(tiny.load_model(NAME), NAME), before)
