"""Reference pictures of ComfyUI's edit models, in the form of its own nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import torch

from ...cache.references import REFERENCE
from ...errors import TrainingError


class ReferenceMethod(str, Enum):
    """How references are placed beside the picture: ComfyUI's `reference_latents_method`. `auto`: the model's own."""

    AUTO = "auto"
    OFFSET = "offset"
    INDEX = "index"
    UXO = "uxo"
    INDEX_TIMESTEP_ZERO = "index_timestep_zero"


# ComfyUI's classes whose edit models are shown pictures as `reference_latents`, and predict the target alone. Models
# of pictures and their edit models are one class there.
_EDIT_MODELS = frozenset(
    ("Flux", "Flux2", "LongCatImage", "QwenImage", "MageFlow", "JoyImage", "Omnigen2", "Boogu", "Krea2")
)
# Those of them that heed a method; the last one ignores references without.
_HEEDING = frozenset(("Flux", "Flux2", "LongCatImage", "QwenImage", "Krea2"))
# What ComfyUI calls them in a CONDITIONING.
_LATENTS, _METHOD = "reference_latents", "reference_latents_method"
# A look at a model before the first step needs no more of a reference.
_LOOK_CELLS = 8


def takes_references(model: Any, method: ReferenceMethod = ReferenceMethod.AUTO) -> bool:
    """Whether a BaseModel can be shown reference pictures, placed by that method."""
    return type(model).__name__ in _EDIT_MODELS and not (heeds_method(model) and not placing(model, method))


def check_number(model: Any, given: Mapping[str, Any]) -> None:
    """TrainingError for more references of a sample than a BaseModel has embeddings for."""
    embeddings = getattr(model.diffusion_model, "image_index_embedding", None)
    count = sum(name.startswith(REFERENCE) for name in given)
    if embeddings is not None and count > len(embeddings):
        raise TrainingError(
            f"A photograph has {count} control images, and {type(model).__name__} is shown {len(embeddings)} at most; "
            "take some out of control_directory."
        )


def heeds_method(model: Any) -> bool:
    """Whether a BaseModel places references by the method that it is given."""
    return type(model).__name__ in _HEEDING


def placing(model: Any, method: str) -> str:
    """The name of the method by which a BaseModel places references where it is given `method`; empty where it has one
    way whatever it is given, or ignores references until it is given a method."""
    if not heeds_method(model):
        return ""
    return (_own_method(model) or "") if method == ReferenceMethod.AUTO.value else method


def shares_pass(model: Any, method: ReferenceMethod) -> bool:
    """Whether several samples with references may be in one pass of a BaseModel. Not in ComfyUI's Flux 2 by the last
    method: it adds the guidance of each to twice as many timesteps."""
    return not (method is ReferenceMethod.INDEX_TIMESTEP_ZERO and hasattr(model.diffusion_model, "params"))


def check_method(model: Any, method: ReferenceMethod) -> None:
    """TrainingError where ComfyUI cannot run a BaseModel with references that are placed by `method`."""
    params = getattr(model.diffusion_model, "params", None)
    is_other_flux = heeds_method(model) and params is not None and not params.global_modulation
    if method is ReferenceMethod.INDEX_TIMESTEP_ZERO and is_other_flux:
        raise TrainingError(
            f"reference_method is {method.value}, with which ComfyUI runs Qwen-Image-Edit, Krea 2 and Flux 2, and "
            f"{type(model).__name__} in no case; set it to auto."
        )


def effective_method(model: Any, method: ReferenceMethod) -> ReferenceMethod:
    """`method`, or AUTO where a BaseModel does the same without it."""
    return method if placing(model, method) != placing(model, ReferenceMethod.AUTO) else ReferenceMethod.AUTO


def _own_method(model: Any) -> str | None:
    network = model.diffusion_model
    return getattr(network, "default_ref_method", getattr(getattr(network, "params", None), "default_ref_method", None))


def to_reference_latents(
    given: Mapping[str, Any], dimensions: int, method: ReferenceMethod = ReferenceMethod.AUTO
) -> dict[str, Any]:
    """A sample's references as ComfyUI's ReferenceLatent node has them in a CONDITIONING, with all else that is given.
    `dimensions` are those of a latent's grid: 2 or 3."""
    own = {name: value for name, value in given.items() if not name.startswith(REFERENCE)}
    found = [given[name] for name in sorted(given.keys() - own.keys(), key=_number)]
    if not found:
        return own
    # The models normalise them, some in place.
    latents = [latent_1C1hw.clone() if dimensions == 3 else latent_1C1hw[:, :, 0].clone() for latent_1C1hw in found]
    placed = {} if method is ReferenceMethod.AUTO else {_METHOD: method.value}
    return {**own, _LATENTS: latents, **placed}


def small_example(
    model: Any, given: Mapping[str, torch.Tensor], method: ReferenceMethod = ReferenceMethod.AUTO
) -> dict[str, torch.Tensor]:
    """What a BaseModel is given, for a look at it: of each reference a corner, none where it takes none."""
    takes = takes_references(model, method)
    kept = {name: value for name, value in given.items() if takes or not name.startswith(REFERENCE)}
    cells = slice(_LOOK_CELLS)
    return {name: value[..., cells, cells] if name.startswith(REFERENCE) else value for name, value in kept.items()}


def shows_references(conditioning: Sequence[Any]) -> bool:
    """Whether a CONDITIONING brings reference pictures, as ComfyUI's nodes put them there."""
    return any(options.get(_LATENTS) for _, options in conditioning)


def method_of(conditioning: Sequence[Any]) -> str:
    """The method that a CONDITIONING brings, as ComfyUI's nodes put it there."""
    found = (options.get(_METHOD) for _, options in conditioning)
    return next((method for method in found if method), ReferenceMethod.AUTO.value)


def has_references(given: Mapping[str, Any]) -> bool:
    """Whether a sample is given any."""
    return any(name.startswith(REFERENCE) for name in given)


def _number(name: str) -> int:
    return int(name.removeprefix(REFERENCE))
