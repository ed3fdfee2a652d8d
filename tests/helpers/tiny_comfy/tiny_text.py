"""Text encoders of edit models that see pictures, with their real tokenizers, small and random."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from . import tiny_models as tiny

_SMALL = {"hidden_size": 128, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1}
# ComfyUI's module of each, and its tokenizer's class there.
_MODULES = {
    "qwen_image": ("qwen_image", "QwenImageTokenizer"),
    "longcat": ("longcat_image", "LongCatImageTokenizer"),
    "boogu": ("boogu", "BooguTokenizer"),
    "mage_flow": ("mage_flow", "MageFlowTokenizer"),
    "joy_image": ("joyimage", "JoyImageTokenizer"),
}
SEEING = tuple(_MODULES)


@contextmanager
def seeing_clip(name: str) -> Generator[Any]:
    """ComfyUI's CLIP of that edit model: two layers for text, and one or two for pictures."""
    with pytest.MonkeyPatch.context() as patch:
        _make_small(patch)
        module, tokenizer = _MODULES[name]
        encoder: Any = importlib.import_module(f"comfy.text_encoders.{module}")
        target = tiny.comfy.supported_models_base.ClipTarget(getattr(encoder, tokenizer), encoder.te())
        with torch.inference_mode():
            made = tiny.comfy.sd.CLIP(target)
            tiny.randomise(made.cond_stage_model)
        yield made


def _make_small(patch: pytest.MonkeyPatch) -> None:
    llama, qwen25, qwen3 = (
        importlib.import_module(f"comfy.text_encoders.{each}") for each in ("llama", "qwen_vl", "qwen3vl")
    )
    config = functools.partial(llama.Qwen25_7BVLI_Config, num_key_value_heads=1, **_SMALL)
    patch.setattr(llama, "Qwen25_7BVLI_Config", config)
    vision = qwen25.Qwen2VLVisionTransformer

    def small(**given: Any) -> Any:
        return vision(**{**given, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "num_layers": 1})

    patch.setattr(qwen25, "Qwen2VLVisionTransformer", small)
    for size, kind in (("qwen3vl_4b", llama.Qwen3VL_4BConfig), ("qwen3vl_8b", llama.Qwen3VL_8BConfig)):
        patch.setitem(qwen3.QWEN3VL_CONFIGS, size, functools.partial(kind, num_key_value_heads=1, **_SMALL))
        sizes = {"hidden_size": 32, "intermediate_size": 32, "depth": 2, "deepstack_visual_indexes": [0]}
        patch.setitem(qwen3.QWEN3VL_VISION, size, sizes)
    patch.setitem(qwen3.QWEN3VL_VISION_COMMON, "num_heads", 2)
