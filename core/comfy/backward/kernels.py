"""Replaces ComfyUI's fused kernels without a backward pass by plain operations in training."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

_KITCHEN = "comfy_kitchen"
# Modules that hold plain operations under the kernels' names.
_PLAIN = (f"{_KITCHEN}.backends.eager.rope", f"{_KITCHEN}.backends.eager.adaln")


@contextmanager
def use_plain_kernels() -> Generator[None]:
    """Replace kernels whose plain form is known by it, while ComfyUI's `in_training` is set; restored on exit.

    Most models check `in_training` themselves before they call a kernel, but some do not. Does nothing for a ComfyUI
    without such kernels.
    """
    try:
        kitchen = importlib.import_module(_KITCHEN)
        plain = [importlib.import_module(name) for name in _PLAIN]
    except ImportError:
        yield
        return
    # Those that end in "_" write into their arguments, which has no backward pass in any form.
    names = [name for name in kitchen.__all__ if not name.endswith("_")]
    replaced = {name: getattr(kitchen, name) for name in names if any(hasattr(module, name) for module in plain)}
    try:
        for name, kernel in replaced.items():
            operation = next(getattr(module, name) for module in plain if hasattr(module, name))
            setattr(kitchen, name, _select_kernel(kernel, operation))
        yield
    finally:
        for name, kernel in replaced.items():
            setattr(kitchen, name, kernel)


def _select_kernel(kernel: Callable[..., Any], operation: Callable[..., Any]) -> Callable[..., Any]:
    management: Any = importlib.import_module("comfy.model_management")

    def run(*args: Any, **kwargs: Any) -> Any:
        return (operation if management.in_training else kernel)(*args, **kwargs)

    return run
