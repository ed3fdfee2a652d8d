"""What differs between ComfyUI's architectures: where adapters go, which blocks repeat, what LoRA files say."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeGuard

from torch import nn

from ...autograd.tensors import is_linear

_STREAMS = r"^(double_blocks\.\d+\.(img|txt)_(attn|mlp)\.|single_blocks\.\d+\.linear[12]$)"
_UNET = (
    r"\.(attn[12]\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2)|proj_in|proj_out"
    # Convolutions, which get an adapter only where they are asked for.
    r"|in_layers\.2|out_layers\.3|skip_connection|op|conv)$"
)
_WAN = r"^blocks\.\d+\.(self_attn|cross_attn|ffn)\."
_JOINT = r"^joint_blocks\.\d+\.(x|context)_block\.(attn2?|mlp)\."
# Those of the video; its sound has layers of its own.
_LTX2 = r"^transformer_blocks\.\d+\.(attn[12]|ff)\."
_QWEN = r"^transformer_blocks\.\d+\.(attn|img_mlp|txt_mlp)\."
# In the blocks of any other network: what only scales by the timestep, and what only sees reference pictures.
_UNWANTED = r"modulation|ada_?ln|[._]mod([._A-Z]|$)|norm|ref_image"


class TextRule(Enum):
    """How captions of different lengths share a forward pass without changing each other's result.

    `APART`: split into separate batches, unless ComfyUI can join them (UNets repeat text). `MASKED`: padded, with an
    `attention_mask` for each. `FULL_LENGTH`: zero-padded to the length that the model was trained with, longer ones
    apart. The zeros at their ends are collapsed into a few tokens with a log-count attention bias.

    The others are padded, and we mask the padding out of attention; samples that bring a mask are run alone. `HIDDEN`:
    padding after the text, which comes before the picture or is cross-attended. `HIDDEN_AHEAD`: padding before the
    text, from which the picture's positions count on; they are rotary, so that only distances matter. `HIDDEN_LAST`:
    padding after the text, which comes after the picture.
    """

    APART = "apart"
    MASKED = "masked"
    FULL_LENGTH = "full_length"
    HIDDEN = "hidden"
    HIDDEN_AHEAD = "hidden_ahead"
    HIDDEN_LAST = "hidden_last"

    @property
    def hides_padding(self) -> bool:
        """Whether it is one of the last three."""
        return self in (TextRule.HIDDEN, TextRule.HIDDEN_AHEAD, TextRule.HIDDEN_LAST)


@dataclass(frozen=True)
class Architecture:
    """`name` is the LoRA file's `modelspec.architecture`, `targets` the layers that get an adapter by default, "" where
    these are the layers of its blocks, `min_latent_size` the smallest side of a latent, in cells, that it takes."""

    name: str
    targets: str = ""
    text: TextRule = TextRule.APART
    min_latent_size: int = 1


# By the name of ComfyUI's class of configuration or model; the nearest class in the order of resolution counts. A name
# is that of the reference system or of sd-scripts, where they have one.
_BY_CLASS = {
    "WAN21_T2V": Architecture("wan2.1", _WAN, TextRule.FULL_LENGTH),
    "WAN22_T2V": Architecture("wan2.2", _WAN, TextRule.FULL_LENGTH),
    "QwenImage": Architecture("qwen-image", _QWEN, TextRule.MASKED),
    "MageFlow": Architecture("mage-flow", _QWEN, TextRule.MASKED),
    "HunyuanVideo": Architecture("hunyuan-video", _STREAMS, TextRule.HIDDEN),
    "HunyuanVideo15": Architecture("hunyuan-video-1.5", _STREAMS, TextRule.HIDDEN),
    "HunyuanImage21": Architecture("hunyuan-image-2.1", _STREAMS, TextRule.HIDDEN),
    "Flux": Architecture("flux-1-dev", _STREAMS, TextRule.HIDDEN),
    "FluxSchnell": Architecture("flux-1-schnell", _STREAMS, TextRule.HIDDEN),
    "Flux2": Architecture("flux-2", _STREAMS, TextRule.HIDDEN),
    "Chroma": Architecture("chroma", _STREAMS, TextRule.HIDDEN),
    "LongCatImage": Architecture("longcat-image", _STREAMS, TextRule.HIDDEN_AHEAD),
    "SD3": Architecture("stable-diffusion-3", _JOINT, TextRule.HIDDEN),
    "SDXL": Architecture("stable-diffusion-xl-v1-base", _UNET),
    "SDXLRefiner": Architecture("stable-diffusion-xl-v1-refiner", _UNET),
    "SD15": Architecture("stable-diffusion-v1", _UNET),
    "SD20": Architecture("stable-diffusion-v2", _UNET),
    "Anima": Architecture("anima", text=TextRule.FULL_LENGTH),
    "Lumina2": Architecture("lumina-2", text=TextRule.HIDDEN_AHEAD),
    "ZImage": Architecture("z-image", text=TextRule.HIDDEN_AHEAD),
    "Omnigen2": Architecture("omnigen-2"),
    "Boogu": Architecture("boogu"),
    "Kandinsky5": Architecture("kandinsky-5", text=TextRule.HIDDEN),
    "Krea2": Architecture("krea-2", text=TextRule.HIDDEN),
    "PixelDiTT2I": Architecture("pixelditt2i", text=TextRule.HIDDEN),
    "AuraFlow": Architecture("auraflow", text=TextRule.HIDDEN),
    "JoyImage": Architecture("joy-image", text=TextRule.HIDDEN_LAST),
    "Lens": Architecture("lens", text=TextRule.MASKED),
    "LTXV": Architecture("ltx-video", text=TextRule.MASKED),
    "LTXAV": Architecture("ltx-2", _LTX2),
    "MiniMaxH3": Architecture("minimax-h3"),
    "HiDream": Architecture("hidream-i1"),
    "ErnieImage": Architecture("ernie-image"),
    "PixArtAlpha": Architecture("pixart-alpha", min_latent_size=64),
    "PixArtSigma": Architecture("pixart-sigma", min_latent_size=64),
    "GenmoMochi": Architecture("mochi-1-preview"),
}


def architecture_names() -> tuple[str, ...]:
    """The `modelspec.architecture` of every architecture that is known by name."""
    return tuple(sorted({each.name for each in _BY_CLASS.values()}))


def architecture_of(model: Any) -> Architecture:
    """What is known of a ComfyUI `BaseModel`; the name of its class alone where nothing is."""
    kinds = [kind.__name__ for kind in type(model.model_config).__mro__]
    known = next((_BY_CLASS[kind] for kind in kinds if kind in _BY_CLASS), Architecture(kinds[0].lower()))
    network = model.diffusion_model
    if getattr(network, "context_processor", None) is not None:
        # In it SD3's text attends to itself, where padding cannot be masked.
        known = replace(known, text=TextRule.APART)
    if known.targets:
        return known
    return replace(known, targets=_UNET if is_unet(network) else _block_targets(network))


def _block_targets(network: nn.Module) -> str:
    lists = [name for name, child in network.named_children() if _is_block_list(child)]
    where = f"({'|'.join(lists)})\\.\\d+\\." if lists else ""
    return f"^(?!.*({_UNWANTED})){where}"


def experts_of(network: nn.Module) -> int:
    """How many feed-forward layers share out the tokens of a block, each of which only some of them take; 1: none."""
    found = (getattr(module, "experts", None) for module in network.modules())
    return max((len(experts) for experts in found if isinstance(experts, nn.ModuleList)), default=1)


def repeated_blocks(network: nn.Module) -> tuple[nn.Module, ...]:
    """The blocks worth checkpointing: a UNet's residual and transformer blocks, else the members of the network's own
    lists of blocks that hold a linear layer."""
    if is_unet(network):
        kinds = (
            importlib.import_module("comfy.ldm.modules.diffusionmodules.openaimodel").ResBlock,
            importlib.import_module("comfy.ldm.modules.attention").BasicTransformerBlock,
        )
        return tuple(module for module in network.modules() if isinstance(module, kinds))
    lists = [child for child in network.children() if _is_block_list(child)]
    return tuple(block for children in lists for block in children if _has_linear(block))


def _is_block_list(child: nn.Module) -> TypeGuard[nn.ModuleList]:
    return isinstance(child, nn.ModuleList) and any(_has_linear(block) for block in child)


def _has_linear(block: nn.Module) -> bool:
    return any(is_linear(module) for module in block.modules())


def is_unet(network: nn.Module) -> bool:
    """Whether it is the UNet of the Stable Diffusion models before the third."""
    return isinstance(network, importlib.import_module("comfy.ldm.modules.diffusionmodules.openaimodel").UNetModel)
