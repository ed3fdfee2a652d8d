"""Which ComfyUI models can be trained: what they predict, on which schedule, and what else they are given."""

from __future__ import annotations

from typing import Any

from ...errors import TrainingError
from ...train.denoiser import Family
from .image_to_video import image_channels
from .sound import makes_sound

# Prediction types by the name of ComfyUI's class; a subclass of one (EDM, X0, IMG_TO_IMG_FLOW, …) is another type.
_FAMILIES = {"CONST": Family.FLOW, "EPS": Family.EPS, "V_PREDICTION": Family.V}
_FLOW_SCHEDULES = ("ModelSamplingDiscreteFlow", "ModelSamplingFlux")
_DISCRETE_SCHEDULE = "ModelSamplingDiscrete"
# ComfyUI's classes of what is no model of pictures or videos, though its latents look like one's.
_NO_PICTURES = {
    "RT_DETR_v4": "finds objects",
    "SAM3": "segments pictures",
    "DepthAnything3": "measures depth",
    "TripoSplat": "makes shapes",
    "Trellis2": "makes shapes",
}


def prediction_family(sampling: Any, sound: bool = False) -> Family:
    """What a ComfyUI `model_sampling` says that its model, of pictures with `sound` or without, predicts.
    TrainingError, by name, where not supported."""
    defined = [
        kind
        for kind in type(sampling).__mro__
        if kind.__module__ == "comfy.model_sampling" and "calculate_denoised" in vars(kind)
    ]
    family = _FAMILIES.get(defined[0].__name__) if defined else None
    schedules = [kind.__name__ for kind in type(sampling).__mro__ if "timestep" in vars(kind)]
    schedule = schedules[0] if schedules else "none"
    if family is Family.FLOW:
        usable = schedule in _FLOW_SCHEDULES and hasattr(sampling, "audio_shift") == sound
    else:
        usable = family is not None and schedule == _DISCRETE_SCHEDULE
    if family is None or not usable:
        kind = defined[0].__name__ if defined else type(sampling).__name__
        raise TrainingError(
            f"The model predicts {kind} on the schedule {schedule}, which cannot be trained here; supported are flow "
            f"(CONST on {' or '.join(_FLOW_SCHEDULES)}), and EPS and V_PREDICTION on {_DISCRETE_SCHEDULE}."
        )
    return family


def supported_image_channels(model: Any) -> int:
    """The channels that an image-to-video model takes beside its latent, 0 for others. TrainingError otherwise."""
    kind = type(model.model).__name__
    if kind in _NO_PICTURES:
        raise TrainingError(
            f"{kind} {_NO_PICTURES[kind]} and makes no pictures; connect a model of pictures or videos."
        )
    prediction_family(model.get_model_object("model_sampling"), makes_sound(model.model))
    dimensions = model.model.latent_format.latent_dimensions
    if dimensions not in (2, 3):
        raise TrainingError(
            f"{kind} has latents of {dimensions} dimensions and makes no pictures; connect a model of pictures or "
            "videos."
        )
    return image_channels(model.model)
