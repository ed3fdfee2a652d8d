"""Padding of captions of different lengths, and that it is masked out of every attention."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.comfy.model.architectures import architecture_of
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.text.collapsed_padding import TextAttention
from maskloss.core.comfy.text.conditioning import condition
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.passes import inputs, passes

import comfy.ldm.flux.math  # isort: skip
import comfy.ldm.hunyuan_video.model  # isort: skip
import comfy.ldm.modules.attention  # isort: skip
import comfy.ldm.modules.diffusionmodules.mmdit  # isort: skip

pytestmark = pytest.mark.comfy


@pytest.mark.parametrize("lengths", [(40, 4, 70), (33, 64, 1), (24, 40)])
@pytest.mark.parametrize("name", ["z_image", "z_image_pixel"])
def test_texts_that_are_filled_up_to_different_multiples_share_a_pass(name: str, lengths: tuple[int, ...]) -> None:
    """Z-Image fills texts and pictures up to multiples of 32 tokens; its picture stands where the filled text ends."""
    texts = [tiny.text_for(name, length=length, seed=length) for length in lengths]
    with open_denoiser(tiny.load_model(name), texts[0]) as denoiser:
        assert passes(denoiser, inputs(name, len(texts)), texts) == [len(texts)]


def test_what_a_network_does_not_take_of_a_text_is_not_counted_on() -> None:
    texts = [tiny.text_for("pixeldit", length=length, seed=length) for length in (310, 4, 300)]
    model = tiny.load_model("pixeldit")
    assert model.model.diffusion_model.txt_max_length == 300
    with open_denoiser(model, texts[1]) as denoiser:
        assert passes(denoiser, inputs("pixeldit", 3), texts) == [3]
        # A picture of as many tokens.
        generator = torch.Generator().manual_seed(7)
        clean, noise = (torch.randn(2, 3, 1, 320, 240, generator=generator) for _ in range(2))
        assert passes(denoiser, (clean, noise, torch.tensor([0.2, 0.8])), texts[:2]) == [2]


@pytest.mark.parametrize("name", ["wan", "flux", "hunyuan_video", "z_image", "longcat", "joy_image"])
def test_what_hides_or_counts_padding_is_where_the_model_computes(name: str) -> None:
    """Captions come from the disk and lie in the CPU's memory; `meta` stands for a GPU."""
    texts = [tiny.text_for(name, length=length) for length in (40, 4)]
    model = tiny.load_model(name).model
    with open_denoiser(tiny.load_model(name), texts[0]):
        (rows,) = condition(
            model, texts, inputs(name)[0].to("meta"), None, architecture_of(model).text, TextAttention()
        )
    assert rows.padding is not None
    tensors = [value for value in vars(rows.padding).values() if isinstance(value, torch.Tensor)]
    assert tensors
    assert {str(tensor.device) for tensor in tensors} == {"meta"}


@pytest.mark.parametrize("backend", ["attention_basic", "attention_sub_quad", "attention_split", "attention_pytorch"])
@pytest.mark.parametrize("name", ["flux", "hunyuan_video", "sd3"])
def test_padding_is_hidden_from_every_attention(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function = getattr(comfy.ldm.modules.attention, backend)
    for module in (comfy.ldm.flux.math, comfy.ldm.hunyuan_video.model, comfy.ldm.modules.diffusionmodules.mmdit):
        monkeypatch.setattr(module, "optimized_attention", function)
    texts = [tiny.text_for(name, length=length, seed=length) for length in (7, 4)]
    with open_denoiser(tiny.load_model(name), texts[0]) as denoiser:
        assert passes(denoiser, inputs(name), texts) == [2]
