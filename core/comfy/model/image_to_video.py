"""What image-to-video and inpainting models take besides noise and text, in the form of ComfyUI's own nodes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch

from ...cache.image_conditioning import FRAMES, IMAGE, MASK_CHANNELS
from ...cache.inpainting import HOLE_CHANNELS, INPAINT, VACE, holes_of, split_conditioning
from ...errors import TrainingError
from .architectures import is_unet
from .sound import makes_sound

# Of WAN's other models some take as many channels for something else, and are classes of their own.
_IMAGE_TO_VIDEO = "WAN21"
# These always take a first frame's channels, zero where they sample from text alone.
_EMPTY_FROM_TEXT = ("HunyuanVideo15", "Kandinsky5")
# It takes a video with a hole, in no channels beside the latent but by blocks of their own.
_VACE = "WAN21_Vace"
# These take something in no channels beside the latent.
_DRIVEN = {
    "WAN21_Camera": "the path of a camera",
    "WAN21_HuMo": "speech and pictures of people",
    "WAN21_SCAIL": "poses and a picture of a person",
    "WAN21_SCAIL2": "poses and a picture of a person",
    "WAN22_S2V": "speech",
    "WAN22_Animate": "poses and a face",
    "WAN22_WanDancer": "music and a picture of a person",
    "WAN_Animate2": "poses and a picture of a person",
    "PiD": "the latent of a smaller picture",
    "SeedVR2": "the video to restore",
}
_HOLE_NOTES = {
    INPAINT: "This inpainting model is given each photograph with grey where its mask has weight, and learns to fill "
    "that; sample the LoRA with InpaintModelConditioning and a mask of that kind.",
    VACE: "VACE is given each video with a hole where its mask has weight, and learns to fill that; sample the LoRA "
    "with WanVaceToVideo and control_masks of that kind.",
}
_CHECKED_CELLS = 8
# What ComfyUI gives UNets that fill holes.
_HOLE_AND_PICTURE = ("mask", "masked_image")


def image_channels(model: Any) -> int:
    """The channels that a cache holds for a BaseModel beside its latent: a first frame and its mask, or what inpainting
    models are given; 0 for nothing. TrainingError, by name, for a model that is given anything else."""
    kind = type(model).__name__
    channels = int(model.latent_format.latent_channels)
    if kind in _DRIVEN:
        raise _given_more(kind, _DRIVEN[kind])
    beside = _channels_beside(model, channels)
    if kind == _IMAGE_TO_VIDEO and beside == MASK_CHANNELS + channels:
        return beside
    if kind == _VACE and beside == 0:
        return HOLE_CHANNELS + 2 * channels
    if _fills_holes(model, kind, channels, beside):
        return HOLE_CHANNELS + channels
    if beside == 0 or kind in _EMPTY_FROM_TEXT:
        return 0
    of_latent = f"{beside} channels beside the {channels} of its latent"
    raise _given_more(kind, f"{of_latent} (a picture to edit, a mask, something that controls it)")


def _given_more(kind: str, what: str) -> TrainingError:
    return TrainingError(
        f"{kind} takes {what}, and the cache holds nothing of the kind; without it the LoRA would be trained for "
        "inputs that sampling never gives. Train it on the text-to-image, text-to-video, inpainting or WAN "
        "image-to-video model of the same family."
    )


def _fills_holes(model: Any, kind: str, channels: int, beside: int) -> bool:
    """Whether it is a model of pictures that is given one with a hole, as InpaintModelConditioning makes it."""
    if is_unet(model.diffusion_model):
        return tuple(model.concat_keys) == _HOLE_AND_PICTURE and beside == 1 + channels
    return kind == "Flux" and beside == HOLE_CHANNELS + channels


def _channels_beside(model: Any, channels: int) -> int:
    if is_unet(model.diffusion_model):
        # Some UNets add theirs where they take the text.
        return int(model.model_config.unet_config["in_channels"]) - channels
    frames = [1] if model.latent_format.latent_dimensions == 3 else []
    noise = torch.zeros(1, channels, *frames, _CHECKED_CELLS, _CHECKED_CELLS)
    beside = model.concat_cond(noise=noise, latent_image=noise, device=noise.device)
    return 0 if beside is None else int(beside.shape[1])


def training_notes(model: Any) -> tuple[str, ...]:
    """Remarks for the user on training a BaseModel that can be given a first frame."""
    kind = type(model).__name__
    if kind in _EMPTY_FROM_TEXT:
        return (f"{kind} is trained as it samples from text, without a first frame.",)
    if makes_sound(model):
        return (
            f"{kind} makes picture and sound in the same layers: the LoRA is trained on the picture alone, beside "
            "empty sound, and acts on the sound, too.",
        )
    if kind == _IMAGE_TO_VIDEO and getattr(model.diffusion_model, "img_emb", None) is not None:
        return (
            "This model can be given CLIP vision features of the first frame, for which the cache has no place: it is "
            "trained as it samples without clip_vision_output, so sample the LoRA without it, too.",
        )
    holes = holes_of(image_channels(model), int(model.latent_format.latent_channels))
    return (_HOLE_NOTES[holes],) if holes else ()


def to_conditioning(given: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """A sample's first frame as WanImageToVideo has it in a CONDITIONING, where the mask is 0 for what is known; or its
    picture with a hole as InpaintModelConditioning, its video with a hole as WanVaceToVideo has it."""
    own = {name: value for name, value in given.items() if name not in (IMAGE, FRAMES, INPAINT, VACE)}
    if VACE in given:
        hole, latents = given[VACE].tensor_split([HOLE_CHANNELS], dim=1)
        return {**own, "vace_frames": [latents], "vace_mask": [hole], "vace_strength": [1.0]}
    if INPAINT in given:
        hole, latents = split_conditioning(given[INPAINT])
        return {**own, "concat_latent_image": latents[:, :, 0].clone(), "concat_mask": hole}
    if IMAGE not in given:
        return own
    image = given[IMAGE]
    # The models normalise it in place.
    return {**own, "concat_latent_image": image[:, MASK_CHANNELS:].clone(), "concat_mask": 1 - image[:, :MASK_CHANNELS]}


def frame_indices(given: Mapping[str, torch.Tensor]) -> tuple[int, ...]:
    """The indices of a sample's latent frames; empty where they are 0, 1, 2…"""
    return tuple(int(index) for index in given[FRAMES]) if FRAMES in given else ()


def can_place(network: Any, indices: Sequence[int]) -> bool:
    """Whether WAN's network can be given latent frames with these indices: it takes a scale and a shift of them. In a
    ComfyUI older than its ScaleROPE node they can only be 0, 1, 2…"""
    if tuple(indices) == tuple(range(len(indices))):
        return True
    takes_options = "transformer_options" in inspect.signature(network.rope_encode).parameters
    return takes_options and len({later - earlier for earlier, later in pairwise(indices)}) <= 1


def position_options(options: Mapping[str, Any], frames: Sequence[int]) -> dict[str, Any]:
    """Transformer options that give latent frames the positions `frames`, replacing the user's own for time, as
    ComfyUI's ScaleROPE node does."""
    if not frames:
        return {}
    step = frames[1] - frames[0] if len(frames) > 1 else 1
    own = {"scale_t": float(step), "shift_t": float(frames[0])}
    return {"rope_options": {**options.get("rope_options", {}), **own}}
