"""ComfyUI's inpainting models, small and random: given what its own node gives them, trained right."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.inpainting import INPAINT, inpaint_conditioning
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.encoders import ComfyLatentEncoder
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import CacheError
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

NAMES = ("sd15_inpaint", "sdxl_inpaint", "flux_fill")
VAES = {"sd15_inpaint": "sd", "sdxl_inpaint": "sd", "flux_fill": "flux"}


def picture(seed: int) -> torch.Tensor:
    return torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(seed))


def hole(left: int = 20) -> torch.Tensor:
    mask = torch.zeros(1, 64, 96)
    mask[:, 10:40, left : left + 30] = 1
    return mask


def given(name: str, seed: int, left: int = 20) -> dict[str, torch.Tensor]:
    encoder = ComfyLatentEncoder(tiny.load_vae(VAES[name]))
    image = inpaint_conditioning(picture(seed)[:, None], [hole(left).numpy()], ["a"], encoder)
    return {**tiny.text_for(name, seed=seed), INPAINT: image}


def inputs(name: str, batch: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    shape = (batch, tiny.latent_shape(name)[0], 1, 8, 12)
    clean, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    return clean, noise, torch.linspace(0.3, 0.7, batch)


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_given_what_comfyuis_own_node_gives(name: str) -> None:
    model, vae = tiny.load_model(name), tiny.load_vae(VAES[name])
    text = tiny.text_for(name, seed=1)
    clean, noise, t = inputs(name, 1)
    node = importlib.import_module("nodes").InpaintModelConditioning
    with torch.inference_mode():
        embedded: Any = [[text["cross_attn"], {key: value for key, value in text.items() if key != "cross_attn"}]]
        positive, _, _ = node().encode(embedded, embedded, picture(1), vae, hole())
        shown = model.model.concat_cond(
            noise=noise[:, :, 0], device=noise.device, latent_image=torch.zeros_like(noise[:, :, 0]), **{
                key: positive[0][1][key] for key in ("concat_latent_image", "concat_mask")
            },
        )  # fmt: skip
    own = given(name, 1)
    untouched = own[INPAINT].clone()
    with open_denoiser(model, text) as denoiser, torch.no_grad():
        assert denoiser.image_channels == 64 + denoiser.latent_channels
        assert "InpaintModelConditioning" in denoiser.notes[0]
        seen: list[torch.Tensor] = []
        hook = denoiser.module.register_forward_pre_hook(lambda _m, args: seen.append(args[0].clone()))
        first = denoiser.predict(denoiser.normalise(clean), noise, t, [own], False)
        again = denoiser.predict(denoiser.normalise(clean), noise, t, [own], False)
        hook.remove()
        other = denoiser.predict(denoiser.normalise(clean), noise, t, [given(name, 1, left=40)], False)
    torch.testing.assert_close(seen[0][:, denoiser.latent_channels :], shown, rtol=1e-5, atol=1e-5)
    assert torch.equal(first, again)
    assert torch.equal(own[INPAINT], untouched)
    assert not torch.allclose(first, other, atol=1e-4), "the hole acts"


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_samples(name: str) -> None:
    with open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser:
        assert passes(denoiser, inputs(name, 3), [given(name, seed, 10 * seed) for seed in range(3)]) == [3]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_right(name: str) -> None:
    own = [given(name, seed) for seed in range(2)]
    with adapted(name, example=own[0]) as (denoiser, adapters):
        check_gradients(
            lambda checkpoint: denoiser.predict(*inputs(name, 2), own, checkpoint).square().mean(), denoiser, adapters
        )


class MadeUpText:
    def __init__(self, name: str) -> None:
        self.name = name
        self.identity = f"made-up-{name}"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        return tiny.text_for(self.name, seed=len(caption))


@pytest.mark.parametrize("name", NAMES)
def test_from_photographs_to_a_lora_that_comfyui_loads(name: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    save_image(tmp_path / "a.png", generator.integers(0, 256, (64, 96, 3), dtype=np.uint8))
    save_image(tmp_path / "masks/a.png", (hole()[0].numpy() * 200).astype(np.uint8))
    item = DatasetItem("a", tmp_path / "a.png", LoadSettings((80, 80)), tmp_path / "masks/a.png", "a caption")
    encoder = ComfyLatentEncoder(tiny.load_vae(VAES[name]))

    def trained(folder: str, conditioning: bool) -> TrainResult:
        cache, _ = cache_latents(
            Dataset((item,)), encoder, tmp_path / f"cache_{folder}", CacheSettings(image_conditioning=conditioning)
        )
        cache, _ = cache_text(cache, MadeUpText(name))
        with torch.inference_mode(), open_denoiser(tiny.load_model(name), cache.example_text()) as denoiser:
            lora, optimizer = LoraConfig(rank=4, alpha=2), OptimizerConfig(learning_rate=0.01)
            config = TrainConfig(steps=2, training_dtype=TrainingDtype.FP32)
            return train(
                denoiser, TrainingRecipe(cache, MaskLossSettings(), lora, optimizer, config), tmp_path / folder
            )

    with pytest.raises(CacheError, match="with image_conditioning on"):
        trained("refused", False)
    result = trained("lora", True)
    assert all(np.isfinite(point.loss) for point in result.points)
    file = comfy.utils.load_torch_file(str(result.path))
    patched, _ = comfy.sd.load_lora_for_models(tiny.load_model(name), None, dict(file), 1.0, 0.0)
    assert len(patched.patches) == sum(key.endswith(".alpha") for key in file)
