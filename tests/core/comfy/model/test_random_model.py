"""Models of random weights."""

from __future__ import annotations

import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.full_size import full_size_models
from maskloss.core.comfy.model.random_model import random_model
from maskloss.core.train.config import TrainingDtype
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

import pytest  # isort: skip

pytestmark = pytest.mark.comfy


@pytest.mark.parametrize("name", ["wan", "sd3", "sd15"])
def test_what_it_predicts_is_neither_nothing_nor_huge(name: str):
    patcher = random_model(tiny.load_model(name).model.model_config)
    text = tiny.text_for(name)
    channels, frames, height, width = tiny.latent_shape(name)
    noise = torch.randn(1, channels, frames, height, width, generator=torch.Generator().manual_seed(0))
    with open_denoiser(patcher, text, dtype=TrainingDtype.FP32) as denoiser, torch.no_grad():
        error = denoiser.predict(noise * 0, noise, torch.full((1,), 0.5), [text], False)
    assert torch.isfinite(error).all()
    assert 1e-3 < float(error.std()) < 1e3


def test_it_is_the_same_every_time_in_any_dtype():
    published = full_size_models()["sd1.5"]
    small = {"model_channels": 32, "context_dim": 64}
    for dtype in (torch.bfloat16, torch.float8_e4m3fn):
        made = [random_model(_smaller(published, small, dtype)).model.diffusion_model.state_dict() for _ in range(2)]
        assert all(torch.equal(made[0][name].float(), made[1][name].float()) for name in made[0])
        weight = made[0]["input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"]
        assert weight.dtype is dtype
        assert float(weight.float().std()) == pytest.approx(64**-0.5, rel=0.1)


def _smaller(published, sizes, dtype):
    configuration = getattr(tiny.comfy.supported_models, published.kind)({**published.network, **sizes})
    configuration.set_inference_dtype(dtype, torch.bfloat16 if dtype.itemsize < 2 else None)
    return configuration
