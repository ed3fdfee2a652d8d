"""From the names of layers in anybody's LoRA file to the module names of ComfyUI's network, and back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import torch

from ..errors import TrainingError, unhandled_choice
from .diffusers_keys import Rows, Theirs, every_module, is_known, is_unet_architecture, theirs
from .lora_layers import ALPHA, DOWN, PEFT_MAGNITUDE, UP, Layers, Product, algorithm_of, as_product
from .unet_keys import USUAL_PER_LEVEL, blocks_per_level

KEY_PREFIX = "diffusion_model."
KOHYA_PREFIX = "lora_unet_"
# In front of a module's name with its dots: ComfyUI's, PEFT's, diffusers', nothing (DiffSynth and others).
_DOTTED = (
    "model.diffusion_model.", KEY_PREFIX, "transformer.base_model.model.", "unet.base_model.model.",
    "base_model.model.", "transformer.", "unet.", "",
)  # fmt: skip
# In front of one whose dots are underscores: kohya's, OneTrainer's, SimpleTuner's.
_UNDERSCORED = ("lora_unet__", KOHYA_PREFIX, "lora_transformer_", "lycoris_")
_TEXT = ("lora_te", "text_encoder", "te1.", "te2.", "text_encoders.")
# Users of these expect kohya's own names (their other tools read nothing else), which for the first two are diffusers'.
_DIFFUSERS_BY_KOHYA = ("stable-diffusion-v1", "stable-diffusion-v2")
_EXAMPLES = 3


@dataclass(frozen=True)
class Place:
    """Where a file's layer belongs: to all rows of our `module`, or, where diffusers has it apart, to part `index`."""

    module: str
    index: int | None = None
    rows: Rows = Rows.EQUAL
    count: int = 1


class Places:
    """Names of one architecture's layers, as they may stand in a file, and where each belongs."""

    def __init__(self, architecture: str, modules: Collection[str]) -> None:
        """`modules`: the network's own names where it is at hand, else all that are known of the architecture."""
        self._dotted: dict[str, Place] = {}
        self._underscored: dict[str, Place] = {}
        for module in modules:
            for name in (module, *_original_names(architecture, module)):
                self._add(name, Place(module))
        per_level = blocks_per_level(modules) or USUAL_PER_LEVEL
        for module in modules:
            found = theirs(architecture, module, per_level) or Theirs(())
            apart = len(found.names) > 1 or found.rows is not Rows.EQUAL
            for index, name in enumerate(found.names):
                self._add(name, Place(module, index, found.rows, len(found.names)) if apart else Place(module))

    def of(self, stem: str) -> Place | None:
        """Where the layer that a file calls `stem` belongs; None where that is not known."""
        for prefix in _UNDERSCORED:
            if stem.startswith(prefix) and (place := self._underscored.get(stem[len(prefix) :])):
                return place
        for prefix in _DOTTED:
            if stem.startswith(prefix) and (place := self._dotted.get(stem[len(prefix) :])):
                return place
        return None

    def _add(self, name: str, place: Place) -> None:
        # Ours come first: where both have a layer of one name, a file with our names is the likelier.
        self._dotted.setdefault(name, place)
        self._underscored.setdefault(name.replace(".", "_"), place)


@cache
def known_places(architecture: str) -> Places:
    """Where layers of that architecture belong, as far as is known without its network."""
    return Places(architecture, list(every_module(architecture)) if is_known(architecture) else [])


def kohya_name(module: str) -> str:
    """Module name with kohya's prefix: `blocks.0.qkv` to `lora_unet_blocks_0_qkv`."""
    return KOHYA_PREFIX + module.replace(".", "_")


def kohya_names(modules: Iterable[str], architecture: str) -> dict[str, str]:
    """Module names as kohya's files have them: those of Stable Diffusion 1 and 2 are diffusers' names of the layers."""
    named = list(modules)
    per_level = blocks_per_level(named)
    if per_level is None or not architecture.startswith(_DIFFUSERS_BY_KOHYA):
        return {module: kohya_name(module) for module in named}
    found = {module: theirs(architecture, module, per_level) for module in named}
    return {module: kohya_name(name.names[0] if name else module) for module, name in found.items()}


def own_layers(
    layers: Layers, architecture: str, shapes: Mapping[str, tuple[int, int]] | None = None
) -> tuple[Layers, dict[str, str]]:
    """The layers by our module names, and of those of which that is not known, a reason by the file's name.

    `shapes`: (rows, inputs) of the network's layers, where it is at hand. A layer that the file has in parts (queries,
    keys and values apart) becomes one, of the same rank where the parts share their down matrix, else of the sum of
    their ranks; what changes nothing in between is zero.
    """
    places = Places(architecture, list(shapes)) if shapes is not None else known_places(architecture)
    found: Layers = {}
    unknown: dict[str, str] = {}
    apart: dict[str, dict[int, tuple[Place, str]]] = {}
    for stem, parts in layers.items():
        place = places.of(stem)
        module = stem[len(KEY_PREFIX) :] if stem.startswith(KEY_PREFIX) else None
        if place is not None and place.index is not None:
            apart.setdefault(place.module, {})[place.index] = (place, stem)
        elif place is not None or module is not None:
            found[place.module if place is not None else str(module)] = parts
        else:
            unknown[stem] = _why_unknown(stem, architecture)
    for module, pieces in apart.items():
        named = {index: (stem, layers[stem]) for index, (_, stem) in pieces.items()}
        place = next(iter(pieces.values()))[0]
        found[module] = _join_pieces(module, place, named, None if shapes is None else shapes[module])
    return found, unknown


def describe_unknown(unknown: Mapping[str, str]) -> str:
    """The first layers of which it is not known where they belong, with the reason."""
    listed = "; ".join(f"{stem}: {reason}" for stem, reason in list(unknown.items())[:_EXAMPLES])
    return listed + (f"; and {len(unknown) - _EXAMPLES} more" if len(unknown) > _EXAMPLES else "")


def names_in_diffusers(modules: Collection[str], architecture: str) -> dict[str, Theirs]:
    """What diffusers calls these layers of ours. TrainingError naming those of which that is not known."""
    if not is_known(architecture):
        raise TrainingError(
            f"diffusers loads no LoRA for the architecture {architecture or '(unknown)'!r}; save with key_format "
            "diffusion_model or kohya, or say by --architecture what the LoRA is for."
        )
    per_level = blocks_per_level(modules) if is_unet_architecture(architecture) else USUAL_PER_LEVEL
    if per_level is None:
        raise TrainingError(
            "The layers' numbers fit no layout of Stable Diffusion's UNet that diffusers has; save with key_format "
            "diffusion_model."
        )
    found = {module: theirs(architecture, module, per_level) for module in modules}
    missing = [module for module, name in found.items() if name is None]
    if missing:
        raise TrainingError(
            f"diffusers has no name that is known here for {len(missing)} layers, such as {missing[0]!r}; save with "
            "key_format diffusion_model, or train without them (targets)."
        )
    return {module: name for module, name in found.items() if name is not None}


def _original_names(architecture: str, module: str) -> tuple[str, ...]:
    """Names in files by trainers that keep the names of the model's first release."""
    if not architecture.startswith("hunyuan"):
        return ()
    name = module
    for ours, original in (
        ("_attn.qkv", "_attn_qkv"), ("_attn.proj", "_attn_proj"), ("mlp.0", "mlp.fc1"), ("mlp.2", "mlp.fc2"),
        ("_mod.lin", "_mod.linear"), (".modulation.lin", ".modulation.linear"),
    ):  # fmt: skip
        name = name.replace(ours, original)
    return (name,) if name != module else ()


def _why_unknown(stem: str, architecture: str) -> str:
    if stem.startswith(_TEXT):
        return "it belongs to a text encoder, and only the diffusion model is trained here"
    if not is_known(architecture) and stem.startswith(_UNDERSCORED):
        return "where its underscores were dots cannot be told"
    return f"it is no layer of {architecture or 'an unknown architecture'}"


def _join_pieces(
    module: str, place: Place, pieces: Mapping[int, tuple[str, dict[str, torch.Tensor]]], shape: tuple[int, int] | None
) -> dict[str, torch.Tensor]:
    doras = [PEFT_MAGNITUDE in parts for _, parts in pieces.values()]
    for stem, parts in pieces.values():
        # A magnitude belongs to a row, wherever the rows lie; but rows that have none cannot be given one.
        whole_dora = all(doras) and len(pieces) == place.count
        if algorithm_of(parts) != "lora" and not whole_dora:
            raise TrainingError(
                f"{stem} is a part of our layer {module!r}, and only plain LoRAs can be put together from parts; it "
                f"has {', '.join(sorted(parts))}."
            )
    products = {index: as_product(stem, parts) for index, (stem, parts) in pieces.items()}
    first = next(iter(products.values()))
    sizes = _sizes(module, place, {index: product.up.shape[0] for index, product in products.items()}, first, shape)
    shared = all(torch.equal(product.down, first.down) for product in products.values())
    rank = first.rank if shared else sum(product.rank for product in products.values())
    up = torch.zeros(sum(sizes), rank, *first.up.shape[2:], dtype=first.up.dtype)
    down: list[torch.Tensor] = []
    column = 0
    for index, product in products.items():
        start = sum(sizes[:index])
        up[start : start + sizes[index], column : column + product.rank] = product.up
        if not shared:
            column += product.rank
            down.append(product.down)
    if place.rows is Rows.SWAPPED:
        up = torch.cat(up.chunk(2)[::-1])
    joined = {UP: up, DOWN: first.down if shared else torch.cat(down), ALPHA: torch.tensor(float(rank))}
    if all(doras):
        magnitude = torch.cat([pieces[index][1][PEFT_MAGNITUDE].flatten() for index in range(place.count)])
        swapped = place.rows is Rows.SWAPPED
        joined[PEFT_MAGNITUDE] = torch.cat(magnitude.chunk(2)[::-1]) if swapped else magnitude
    return joined


def _sizes(
    module: str, place: Place, known: Mapping[int, int], first: Product, shape: tuple[int, int] | None
) -> list[int]:
    inputs = first.down.shape[1]
    if shape is not None:
        sizes = place.rows.sizes(place.count, *shape)
    elif place.rows is Rows.STREAM:
        sizes = [inputs] * (place.count - 1) + [known.get(place.count - 1, 0)]
    elif place.rows is Rows.GROUPED:
        sizes = [inputs] + [next((size for index, size in known.items() if index), 0)] * (place.count - 1)
    elif place.rows is Rows.EQUAL or place.rows is Rows.SWAPPED:
        sizes = [next(iter(known.values()))] * place.count
    else:
        raise unhandled_choice(place.rows)
    if not sizes or min(sizes) == 0 or any(sizes[index] != size for index, size in known.items()):
        raise TrainingError(
            f"The parts of our layer {module!r} have {dict(known)} rows, from which the others' cannot be told; give "
            "the LoRA to Train LoRA with the model it was made for, or convert it with the program that made it."
        )
    return sizes
