"""Qwen-Image-Edit's text encoder, small and random, shown control images as ComfyUI's own edit node shows them."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.encoders import SHOWN, PictureTextEncoder
from maskloss.core.cache.text import shown_encoder
from maskloss.core.comfy.encoders import ComfyTextEncoder
from maskloss.core.errors import CacheError
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

import comfy.text_encoders.llama  # isort: skip
import comfy.text_encoders.qwen_image  # isort: skip
import comfy.text_encoders.qwen_vl  # isort: skip

pytestmark = pytest.mark.comfy

LLAMA: Any = comfy.text_encoders.llama
VISION: Any = comfy.text_encoders.qwen_vl


@pytest.fixture(scope="module")
def clip() -> Iterator[Any]:
    """ComfyUI's CLIP of Qwen-Image with its real tokenizer, two layers for text and one for pictures."""
    patch = pytest.MonkeyPatch()
    sizes = {"hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1}
    config = functools.partial(LLAMA.Qwen25_7BVLI_Config, num_key_value_heads=1, **sizes)
    patch.setattr(LLAMA, "Qwen25_7BVLI_Config", config)
    vision = VISION.Qwen2VLVisionTransformer

    def small(hidden_size: int, **rest: Any) -> Any:
        del hidden_size
        return vision(hidden_size=32, intermediate_size=32, num_heads=2, num_layers=1, **rest)

    patch.setattr(VISION, "Qwen2VLVisionTransformer", small)
    module: Any = comfy.text_encoders.qwen_image
    target = tiny.comfy.supported_models_base.ClipTarget(module.QwenImageTokenizer, module.te())
    with torch.inference_mode():
        made = tiny.comfy.sd.CLIP(target)
        tiny.randomise(made.cond_stage_model)
    yield made
    patch.undo()


def picture(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_it_is_shown_what_comfyuis_edit_node_shows(clip: Any) -> None:
    encoder = shown_encoder(ComfyTextEncoder(clip))
    assert isinstance(encoder, PictureTextEncoder)
    assert encoder.shown_identity.endswith(SHOWN)
    assert encoder.shown_identity != encoder.identity
    rgb = [picture(0), picture(1, 64, 32)]
    ours = encoder.encode_shown("put her on a beach", rgb)
    node = importlib.import_module("comfy_extras.nodes_qwen").TextEncodeQwenImageEditPlus
    with torch.inference_mode():
        images = [torch.from_numpy(each)[None].float() / 255 for each in rgb]
        ((expected, _),) = node.execute(clip, "put her on a beach", None, *images).result[0]
    torch.testing.assert_close(ours["cross_attn"], expected)
    assert "reference_latents" not in ours
    assert not ours["cross_attn"].is_inference()
    other = encoder.encode_shown("put her on a beach", [picture(2), rgb[1]])["cross_attn"]
    assert other.shape == ours["cross_attn"].shape
    assert not torch.allclose(other, ours["cross_attn"], atol=1e-4), "the picture acts"
    assert ours["cross_attn"].shape[1] > encoder.encode("put her on a beach")["cross_attn"].shape[1] + 100
    assert torch.isfinite(ours["cross_attn"]).all()


def test_more_pictures_than_the_node_takes_are_refused(clip: Any) -> None:
    with pytest.raises(CacheError, match="has 4 control images, and Qwen-Image-Edit is shown 3 at most"):
        ComfyTextEncoder(clip).encode_shown("x", [picture(seed) for seed in range(4)])


def test_other_text_encoders_are_shown_none() -> None:
    assert shown_encoder(ComfyTextEncoder(tiny.load_clip("sdxl"))) is None
