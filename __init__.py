"""ComfyUI-MaskLoss: photographs in, a LoRA out that has learnt the person and not the room behind them."""

from __future__ import annotations

WEB_DIRECTORY = "./web"

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS", "WEB_DIRECTORY"]


def __getattr__(name: str) -> object:
    # Late, so that `maskloss doctor` can say what is missing on a machine where torch is.
    if name not in ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import nodes

    return getattr(nodes, name)
