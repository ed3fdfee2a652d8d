"""ComfyUI's attention: while a model is trained PyTorch's own stands in for it, which has a backward pass everywhere.

Of the others sage attention and int8 attention have none, and the split ones, which ComfyUI takes where it has neither
CUDA nor a flag, keep the whole table of scores for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

# ComfyUI's transformer option: called in place of an attention function, with that function and its arguments.
OVERRIDE = "optimized_attention_override"


def differentiable(override: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A value for that option: `torch.nn.functional.scaled_dot_product_attention` in place of whatever backend ComfyUI
    was started with. An `override` is called as before, but with it in place of that backend."""
    plain: Callable[..., Any] = importlib.import_module("comfy.ldm.modules.attention").attention_pytorch

    def attention(_backend: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return plain(*args, **kwargs) if override is None else override(plain, *args, **kwargs)

    return attention
