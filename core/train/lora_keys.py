"""How other programs end the keys of their LoRA files, under our parts' names; and what a file carries besides products
of low rank."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..errors import TrainingError

# By PEFT and diffusers, today's and earlier ones.
_PEFT_PARTS = {
    ".lora_B.weight": ".lora_up.weight",
    ".lora_A.weight": ".lora_down.weight",
    ".lora_B.default.weight": ".lora_up.weight",
    ".lora_A.default.weight": ".lora_down.weight",
    ".lora.up.weight": ".lora_up.weight",
    ".lora.down.weight": ".lora_down.weight",
    ".lora_linear_layer.up.weight": ".lora_up.weight",
    ".lora_linear_layer.down.weight": ".lora_down.weight",
    ".lora_magnitude_vector.weight": ".lora_magnitude_vector",
    ".lora_magnitude_vector.default.weight": ".lora_magnitude_vector",
}
# diffusers' attention processors before PEFT: the layer's name is the processor's.
_PROCESSOR = re.compile(r"\.processor\.(?P<layer>\w+)_lora\.(?P<part>up|down)\.weight$")
_PROCESSOR_LAYERS = {"to_out": "to_out.0"}
# XLabs' for Flux: 1 is the picture's stream, 2 the text's, under the names of the model's first release.
_XLABS = re.compile(r"(double_blocks\.\d+)\.processor\.(qkv|proj)_lora([12])\.(up|down)\.weight$")
_XLABS_SINGLE = re.compile(r"single_blocks\.\d+\.processor\.\w+_lora\.(up|down)\.weight$")
# What comes beside a product, or in its place: by the end of a key, in words.
_BEYOND = {
    "whole differences": (".diff", ".diff_b", ".w_norm", ".b_norm", ".set_weight"),
    "biases of adapters": (".lora_B.bias", ".lora_A.bias", ".lora_B.default.bias", ".lora_up.bias", ".lora_down.bias"),
    "other shapes of weights": (".reshape_weight",),
    "OFT, BOFT, GLoRA or (IA)³ adapters": (
        ".oft_blocks", ".oft_diag", ".oft_R.weight", ".a1.weight", ".a2.weight", ".b1.weight", ".b2.weight",
        ".on_input",
    ),
}  # fmt: skip


def own_key(key: str) -> str:
    """A key of anybody's LoRA file with the part named as LyCORIS names it; any other as it is.

    TrainingError for XLabs' layers of Flux' single blocks, which are parts of ours that nothing else has alone.
    """
    if xlabs := _XLABS.search(key):
        block, layer, stream, part = xlabs.groups()
        return f"{key[: xlabs.start()]}{block}.{'img' if stream == '1' else 'txt'}_attn.{layer}.lora_{part}.weight"
    if _XLABS_SINGLE.search(key):
        raise TrainingError(
            f"The LoRA is one by XLabs' x-flux with layers in single blocks ({key!r}), which only that program reads; "
            "use it there, or convert it with diffusers (load_lora_weights, then save_lora_weights) and give that file."
        )
    if processor := _PROCESSOR.search(key):
        layer = _PROCESSOR_LAYERS.get(processor["layer"], processor["layer"])
        return f"{key[: processor.start()]}.{layer}.lora_{processor['part']}.weight"
    part = next((part for part in _PEFT_PARTS if key.endswith(part)), None)
    return key if part is None else key[: -len(part)] + _PEFT_PARTS[part]


def describe_beyond(keys: Iterable[str]) -> str:
    """Which layers of a file have something that is no product of low rank, or empty: what it is, and of how many."""
    found: dict[str, dict[str, list[str]]] = {}
    for key in keys:
        for what, ends in _BEYOND.items():
            if end := next((end for end in ends if key.endswith(end)), ""):
                found.setdefault(what, {}).setdefault(end, []).append(key[: -len(end)])
    told: list[str] = []
    for what in (what for what in _BEYOND if what in found):
        ends = found[what]
        stems = sorted({stem for some in ends.values() for stem in some})
        told.append(f"{what} of {len(stems)} layers ({', '.join(sorted(ends))}; such as {stems[0]})")
    return " and ".join(told)


def refuse_beyond(keys: Iterable[str]) -> None:
    """TrainingError where `describe_beyond` has something to tell."""
    if beyond := describe_beyond(keys):
        raise TrainingError(beyond_sentence(beyond))


def beyond_sentence(beyond: str) -> str:
    """What follows from it."""
    return (
        f"The LoRA carries {beyond}. These are no products of low rank: it can neither be trained on from here nor be "
        "converted. Use the file as it is in the program that it was made for, and another LoRA here."
    )
