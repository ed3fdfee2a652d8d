"""Which captions share a forward pass, and that each sample comes out of it as it would alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.passes import inputs, passes

pytestmark = pytest.mark.comfy

# What takes captions of any lengths in one pass, and what takes those that a UNet can repeat.
ANY_LENGTHS = (
    "wan", "wan22_5b", "hunyuan_video", "hunyuan_video15", "hunyuan_image", "flux", "flux_schnell", "flux2", "ovis",
    "longcat", "chroma", "chroma_radiance", "qwen_image", "mage_flow", "sd3", "lumina2", "z_image",
    "z_image_pixel", "kandinsky5", "kandinsky5_image", "krea2", "pixeldit", "aura_flow", "joy_image", "lens", "ltxv",
    "ltx2", "ltx23",  # whose network brings all captions to one length
    "anima",
)  # fmt: skip
# Whose network takes one sample at a time.
ALONE = ("minimax_h3",)
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
        assert passes(denoiser, inputs(name, 3), alike) == ([1, 1, 1] if name in ALONE else [3])
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
