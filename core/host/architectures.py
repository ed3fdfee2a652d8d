"""What differs between ComfyUI's architectures: where adapters go, which blocks repeat, what LoRA files say."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from enum import Enum
from typing import Any

from torch import nn

from ..train.algorithms import is_linear

_STREAMS = r"^(double_blocks\.\d+\.(img|txt)_(attn|mlp)\.|single_blocks\.\d+\.linear[12]$)"
_UNET = r"\.(attn[12]\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2)|proj_in|proj_out)$"
_WAN = r"^blocks\.\d+\.(self_attn|cross_attn|ffn)\."
_JOINT = r"^joint_blocks\.\d+\.(x|context)_block\.(attn2?|mlp)\."
_ANY = r"^(?!.*(modulation|adaLN|_mod\.|norm)).*\.\d+\."


class TextRule(Enum):
    """How captions of different lengths come into one pass without changing each other's result.

    `APART`: they do not, unless ComfyUI knows how (UNets repeat text). `MASKED`: padded, with an `attention_mask` for
    each. `HIDDEN`: padded, and the padding hidden from attention by us; samples that bring a mask go alone.
    `FULL_LENGTH`: filled with zeros up to the length that the model was trained with; longer ones go apart.
    """

    APART = "apart"
    MASKED = "masked"
    HIDDEN = "hidden"
    FULL_LENGTH = "full_length"


@dataclass(frozen=True)
class Architecture:
    """`name` is the LoRA file's `modelspec.architecture`, `targets` the layers that get an adapter by default."""

    name: str
    targets: str
    text: TextRule = TextRule.APART


# By the name of ComfyUI's class; the nearest class in the order of resolution counts.
_BY_CLASS = {
    "WAN21": Architecture("wan2.1", _WAN, TextRule.FULL_LENGTH),
    "WAN22": Architecture("wan2.2", _WAN, TextRule.FULL_LENGTH),
    "QwenImage": Architecture("qwen-image", r"^transformer_blocks\.\d+\.(attn|img_mlp|txt_mlp)\.", TextRule.MASKED),
    "HunyuanVideo": Architecture("hunyuan-video", _STREAMS, TextRule.HIDDEN),
    "Flux": Architecture("flux-1-dev", _STREAMS, TextRule.HIDDEN),
    "Flux2": Architecture("flux-2", _STREAMS, TextRule.HIDDEN),
    "Chroma": Architecture("chroma", _STREAMS, TextRule.HIDDEN),
    "LongCatImage": Architecture("longcat-image", _STREAMS),
    "SD3": Architecture("stable-diffusion-3", _JOINT, TextRule.HIDDEN),
    "SDXL": Architecture("stable-diffusion-xl-v1-base", _UNET),
    "SDXLRefiner": Architecture("stable-diffusion-xl-v1-refiner", _UNET),
}
_SD_BY_TEXT_WIDTH = {768: "stable-diffusion-v1", 1024: "stable-diffusion-v2"}


def architecture_of(model: Any) -> Architecture:
    """What is known of a ComfyUI `BaseModel`; for an unknown one, sensible guesses under its class's name."""
    for kind in type(model).__mro__:
        if kind.__name__ in _BY_CLASS:
            return _BY_CLASS[kind.__name__]
    name = type(model).__name__
    if _is_unet(model.diffusion_model):
        return Architecture(_SD_BY_TEXT_WIDTH.get(model.model_config.unet_config.get("context_dim"), name), _UNET)
    return Architecture(name.lower(), _ANY)


def repeated_blocks(network: nn.Module) -> tuple[nn.Module, ...]:
    """The blocks worth checkpointing: a UNet's residual and transformer blocks, else the members of the network's own
    lists of blocks that hold a linear layer."""
    if _is_unet(network):
        kinds = (
            importlib.import_module("comfy.ldm.modules.diffusionmodules.openaimodel").ResBlock,
            importlib.import_module("comfy.ldm.modules.attention").BasicTransformerBlock,
        )
        return tuple(module for module in network.modules() if isinstance(module, kinds))
    return tuple(
        block
        for children in network.children()
        if isinstance(children, nn.ModuleList)
        for block in children
        if any(is_linear(module) for module in block.modules())
    )


def _is_unet(network: nn.Module) -> bool:
    return isinstance(network, importlib.import_module("comfy.ldm.modules.diffusionmodules.openaimodel").UNetModel)
