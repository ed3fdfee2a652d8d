"""The identity of a ComfyUI MODEL as it is trained: its weights, its schedule, and what it is given beside."""

from __future__ import annotations

from typing import Any

from ...frozen.config import BaseConfig
from ..text.conditioning import effective_guidance
from .fingerprint import model_fingerprint
from .loading import sampling_dtype
from .references import ReferenceMethod, effective_method


def model_identity(
    model: Any,
    guidance: float | None = None,
    base: BaseConfig | None = None,
    method: ReferenceMethod = ReferenceMethod.AUTO,
) -> str:
    """The `identity` that a MODEL's denoiser will have; loads nothing."""
    network = model.model
    own = model_fingerprint(model, str(sampling_dtype(model)), effective_guidance(network, guidance))
    placed = effective_method(network, method)
    placing = "" if placed is ReferenceMethod.AUTO else f"-{placed.value}"
    return f"{own}{placing}{(base or BaseConfig()).identity}"
