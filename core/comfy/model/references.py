"""Reference pictures of ComfyUI's edit models, in the form of its own nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ...cache.references import REFERENCE

# ComfyUI's classes whose edit models are shown pictures as `reference_latents`, and predict the target alone. Models
# of pictures and their edit models are one class there.
_EDIT_MODELS = frozenset(("Flux", "Flux2", "QwenImage"))
# A look at a model before the first step needs no more of a reference.
_LOOK_CELLS = 8


def takes_references(model: Any) -> bool:
    """Whether a BaseModel can be shown reference pictures."""
    return type(model).__name__ in _EDIT_MODELS


def to_reference_latents(given: Mapping[str, Any], dimensions: int) -> dict[str, Any]:
    """A sample's references as ComfyUI's ReferenceLatent node has them in a CONDITIONING, with all else that is given.
    `dimensions` are those of a latent's grid: 2 or 3."""
    own = {name: value for name, value in given.items() if not name.startswith(REFERENCE)}
    found = [given[name] for name in sorted(given.keys() - own.keys(), key=_number)]
    if not found:
        return own
    # The models normalise them, some in place.
    latents = [latent_1C1hw.clone() if dimensions == 3 else latent_1C1hw[:, :, 0].clone() for latent_1C1hw in found]
    return {**own, "reference_latents": latents}


def small_example(model: Any, given: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What a BaseModel is given, for a look at it: of each reference a corner, none where it takes none."""
    kept = {name: value for name, value in given.items() if takes_references(model) or not name.startswith(REFERENCE)}
    cells = slice(_LOOK_CELLS)
    return {name: value[..., cells, cells] if name.startswith(REFERENCE) else value for name, value in kept.items()}


def has_references(given: Mapping[str, Any]) -> bool:
    """Whether a sample is given any."""
    return any(name.startswith(REFERENCE) for name in given)


def _number(name: str) -> int:
    return int(name.removeprefix(REFERENCE))
