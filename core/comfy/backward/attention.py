"""Replaces ComfyUI's attention by PyTorch's own in training, which has a backward pass on every device.

Sage attention and int8 attention have none, and the split ones, ComfyUI's default without CUDA, keep the whole matrix
of scores for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

# ComfyUI's transformer option: called in place of an attention function, with that function and its arguments.
OVERRIDE = "optimized_attention_override"


def differentiable_attention(override: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A value for that option: `torch.nn.functional.scaled_dot_product_attention` instead of the backend that ComfyUI
    was started with. An `override` is still called, with it as the backend."""
    plain: Callable[..., Any] = importlib.import_module("comfy.ldm.modules.attention").attention_pytorch

    def attention(_backend: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return plain(*args, **kwargs) if override is None else override(plain, *args, **kwargs)

    return attention
