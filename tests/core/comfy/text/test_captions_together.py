"""Which captions share a forward pass, and that each sample comes out of it as it would alone."""

from __future__ import annotations

from typing import Any

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

# What takes captions of any lengths in one pass, and what takes those that a UNet can repeat.
ANY_LENGTHS = (
    "wan", "wan22_5b", "hunyuan_video", "hunyuan_video15", "hunyuan_image", "flux", "flux_schnell", "flux2", "ovis",
    "longcat", "chroma", "chroma_radiance", "qwen_image", "mage_flow", "sd3", "lumina2", "z_image",
    "z_image_pixel", "kandinsky5", "kandinsky5_image", "krea2", "pixeldit", "aura_flow", "joy_image", "lens", "ltxv",
    "anima",
)  # fmt: skip
REPEATED = ("sd15", "sdxl", "sd2", "sdxl_refiner")


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_a_batch_is_its_samples_in_one_pass(name: str) -> None:
    """One row per sample, each with its own timestep and caption, of whatever length where the model allows it."""
    # As many tokens as the picture has (24), fewer and more; UNets get repeated text, for lengths that allow it.
    lengths = (6, 4, 6) if name in REPEATED else (24, 4, 31)
    ragged = [tiny.text_for(name, length=length, seed=seed) for seed, length in enumerate(lengths)]
    alike = [tiny.text_for(name, length=6, seed=seed) for seed in range(3)]
    assert not torch.equal(*(text["cross_attn"][:, :4] for text in ragged[:2]))
    with open_denoiser(tiny.load_model(name), alike[0]) as denoiser:
        assert passes(denoiser, inputs(name, 3), alike) == [3]
        together = name in (*ANY_LENGTHS, *REPEATED)
        assert passes(denoiser, inputs(name, 3), ragged) == ([3] if together else [1, 1, 1])
        # ComfyUI would repeat these up to 12 tokens each, for whatever network.
        repeatable = [tiny.text_for(name, length=length, seed=length) for length in (6, 4)]
        assert passes(denoiser, inputs(name), repeatable) == ([2] if together else [1, 1])


def test_captions_that_cannot_share_a_pass_come_apart() -> None:
    texts = [tiny.text_for("hunyuan_video", length=6, seed=seed) for seed in (0, 1)]
    for text in texts:
        text["attention_mask"] = torch.tensor([[1, 1, 1, 1, 0, 0]])
    with open_denoiser(tiny.load_model("hunyuan_video"), texts[0]) as denoiser:
        assert passes(denoiser, inputs("hunyuan_video"), texts) == [1, 1], "HunyuanVideo takes one mask for all"
    texts = [tiny.text_for("wan", length=length) for length in (600, 512)]
    with open_denoiser(tiny.load_model("wan"), texts[0]) as denoiser:
        assert passes(denoiser, inputs("wan"), texts) == [1, 1], "longer than any that WAN was trained with"


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


@pytest.mark.parametrize("name", ["pixeldit", "z_image"])
def test_a_mask_that_hides_something_goes_alone_and_one_that_does_not_is_none(name: str) -> None:
    texts = [tiny.text_for(name, length=length) for length in (6, 4)]
    with open_denoiser(tiny.load_model(name), texts[0]) as denoiser:
        assert passes(denoiser, inputs(name), texts) == [2]
        texts[0]["attention_mask"][:, :2] = 0
        assert passes(denoiser, inputs(name), texts) == [1, 1]


def test_positions_that_a_node_sets_do_not_count_on_from_the_text() -> None:
    model = tiny.load_model("longcat").clone()
    model.set_model_rope_options(scale_x=1.0, shift_x=0.0, scale_y=1.0, shift_y=0.0, scale_t=1.0, shift_t=0.0)
    texts = [tiny.text_for("longcat", length=length) for length in (40, 4)]
    with open_denoiser(model, texts[0]) as denoiser:
        assert passes(denoiser, inputs("longcat"), texts) == [1, 1]


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


def test_a_users_own_attention_is_left_alone() -> None:
    model = tiny.load_model("flux")
    seen: list[int] = []

    def attention(function: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(args[1].shape[-2])
        return function(*args, **kwargs)

    model.model_options.setdefault("transformer_options", {})["optimized_attention_override"] = attention
    texts = [tiny.text_for("flux", length=length) for length in (6, 4)]
    with open_denoiser(model, texts[0]) as denoiser:
        seen.clear()
        assert passes(denoiser, inputs("flux"), texts) == [1, 1]
        assert set(seen) == {24 + 6, 24 + 4}


@pytest.mark.parametrize("backend", ["attention_basic", "attention_sub_quad", "attention_split", "attention_pytorch"])
@pytest.mark.parametrize("name", ["flux", "hunyuan_video", "sd3"])
def test_padding_is_hidden_from_every_attention(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function = getattr(comfy.ldm.modules.attention, backend)
    for module in (comfy.ldm.flux.math, comfy.ldm.hunyuan_video.model, comfy.ldm.modules.diffusionmodules.mmdit):
        monkeypatch.setattr(module, "optimized_attention", function)
    texts = [tiny.text_for(name, length=length, seed=length) for length in (7, 4)]
    with open_denoiser(tiny.load_model(name), texts[0]) as denoiser:
        assert passes(denoiser, inputs(name), texts) == [2]
