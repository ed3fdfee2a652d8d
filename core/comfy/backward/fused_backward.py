"""Runs ComfyUI's rotary embeddings and RMS norms as the functions of `core/autograd/fused_backward` in training."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F

from ...autograd.fused_backward import Rotate, apply_rotation, is_faster_rms_norm, rms_norm


@contextmanager
def use_fused_backward() -> Generator[None]:
    """Replace `torch.nn.functional.rms_norm` and ComfyUI's rotary embedding by functions with a fused backward, while
    ComfyUI's `in_training` is set. The values stay the same."""
    with ExitStack() as stack:
        stack.enter_context(_replace_rms_norm())
        stack.enter_context(_replace_rotation())
        yield


@contextmanager
def _replace_rotation() -> Generator[None]:
    # Looked up by name whenever a model is called while `in_training`.
    flux: Any = importlib.import_module("comfy.ldm.flux.math")
    plain: Rotate | None = getattr(flux, "_apply_rope1", None)
    if plain is None:
        yield
        return

    def rotate(x: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
        return apply_rotation(x, rotation, plain)

    flux._apply_rope1 = rotate
    try:
        yield
    finally:
        flux._apply_rope1 = plain


@contextmanager
def _replace_rms_norm() -> Generator[None]:
    management: Any = importlib.import_module("comfy.model_management")
    plain = F.rms_norm

    def analytic_rms_norm(
        input: torch.Tensor,  # as PyTorch names it
        normalized_shape: Sequence[int],
        weight: torch.Tensor | None = None,
        eps: float | None = None,
    ) -> torch.Tensor:
        if management.in_training and is_faster_rms_norm(input, normalized_shape, weight):
            return rms_norm(input, weight, eps)
        return plain(input, normalized_shape, weight, eps)  # pyright: ignore[reportArgumentType]

    F.rms_norm = analytic_rms_norm
    try:
        yield
    finally:
        F.rms_norm = plain
