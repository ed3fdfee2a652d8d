"""LoRA files: safetensors under the keys of ComfyUI, kohya or diffusers, written whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path

import torch
from safetensors import SafetensorError

from ..errors import InternalError, PathError, TrainingError
from ..tensor_files import open_tensors, write_tensors
from .diffusers_keys import Rows, base_name, component
from .lora_keys import own_key, refuse_beyond
from .lora_layers import (
    ALPHA,
    DOWN,
    MAGNITUDE,
    PEFT_MAGNITUDE,
    Layers,
    as_product,
    growth_of_rows,
    layers_of,
    refuse_halves,
)
from .lora_loaders import widest_format
from .lora_names import (
    KEY_PREFIX,
    KOHYA_PREFIX,
    describe_unknown,
    kohya_names,
    names_in_diffusers,
    own_layers,
)

ARCHITECTURE = "modelspec.architecture"
# Every adapter has one of these.
_FIRST_PARTS = (".lora_down.weight", ".hada_w1_a", ".lokr_w1", ".lokr_w1_a")
# Where diffusers notes rank and alpha, which its files have no tensors for.
_PEFT_SETTINGS = "lora_adapter_metadata"


class KeyFormat(str, Enum):
    """How the keys of a LoRA file are written. `auto`: those under which most programs load a LoRA for the architecture
    in the metadata whole; ComfyUI's own where that was not measured."""

    AUTO = "auto"
    DIFFUSION_MODEL = "diffusion_model"
    KOHYA = "kohya"
    DIFFUSERS = "diffusers"


class LoraWeights(dict[str, torch.Tensor]):
    """A LoRA as ComfyUI's LORA_MODEL wire has it, a flat dict of tensors, with the file's metadata."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(tensors)
        self.metadata: dict[str, str] = dict(metadata or {})


# The base model's weight of one of our modules, for what depends on it.
BaseWeight = Callable[[str], torch.Tensor]


def chosen_format(key_format: KeyFormat, architecture: str) -> KeyFormat:
    """What `auto` means for a LoRA of that architecture; every other format is itself."""
    if key_format is not KeyFormat.AUTO:
        return key_format
    return KeyFormat(widest_format(base_name(architecture)) or KeyFormat.DIFFUSION_MODEL)


def with_key_format(
    tensors: Mapping[str, torch.Tensor],
    key_format: KeyFormat,
    architecture: str = "",
    base_weight: BaseWeight | None = None,
) -> dict[str, torch.Tensor]:
    """The same LoRA under the keys of `key_format`, whatever program's keys it has.

    diffusers' are a plain LoRA's, with the scale in its up matrix: LoHa and LoKr become the product that they are, and
    a DoRA's magnitude needs the base model's weights. TrainingError for a key that is no LoRA key, for a layer
    whose name in that format cannot be told, and for half a layer.
    """
    architecture, layers = base_name(architecture), layers_of(tensors)
    refuse_halves(layers)
    wanted = chosen_format(key_format, architecture)
    own, unknown = own_layers(layers, architecture)
    # Where kohya's names will do, what has one keeps it, whether or not the module's own can be told.
    will_do = wanted is KeyFormat.KOHYA or key_format is KeyFormat.AUTO
    kept = {stem: layers[stem] for stem in unknown if will_do and stem.startswith(KOHYA_PREFIX)}
    _refuse({stem: reason for stem, reason in unknown.items() if stem not in kept})
    if wanted is KeyFormat.DIFFUSERS:
        return _for_diffusers(own, architecture, base_weight)
    own = {module: _with_our_magnitude(module, parts, base_weight) for module, parts in own.items()}
    if wanted is KeyFormat.KOHYA:
        stems = kohya_names(own, architecture)
    elif wanted is KeyFormat.DIFFUSION_MODEL:
        stems = {module: KEY_PREFIX + module for module in own}
    else:
        raise InternalError(f"{wanted!r} is no format of keys that is written.")
    return _flat(own, stems) | _flat(kept, {stem: stem for stem in kept})


def save_lora(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str] | None = None,
    key_format: KeyFormat = KeyFormat.AUTO,
    base_weight: BaseWeight | None = None,
) -> None:
    """Write a LoRA to `path`, replacing what is there, whole or not at all. `metadata` defaults to the tensors' own."""
    own = tensors.metadata if isinstance(tensors, LoraWeights) else {}
    chosen = dict(own if metadata is None else metadata)
    # It tells of the tensors as they were.
    chosen.pop(_PEFT_SETTINGS, None)
    named = with_key_format(tensors, key_format, chosen.get(ARCHITECTURE, ""), base_weight)
    ready = {key: tensor.detach().to("cpu").contiguous() for key, tensor in named.items()}
    write_tensors(path, ready, {"format": "pt", **chosen})


def load_lora(path: Path) -> LoraWeights:
    """Read a LoRA file; `lora_A` / `lora_B` and other programs' words become `lora_down` / `lora_up`, and an alpha that
    only the metadata have becomes a tensor.

    PathError when there is none, TrainingError when it is damaged or holds no LoRA.
    """
    if not path.is_file():
        raise PathError(f"There is no LoRA file at {path}; give the path of a .safetensors file.")
    tensors: dict[str, torch.Tensor] = {}
    try:
        with open_tensors(path) as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
            for key in file.keys():  # noqa: SIM118 - a safetensors handle, no dict
                tensors[own_key(key)] = file.get_tensor(key)
    except (SafetensorError, OSError) as problem:
        raise TrainingError(f"{path} is no readable safetensors file ({problem}); save the LoRA again.") from problem
    if not any(key.endswith(_FIRST_PARTS) for key in tensors):
        refuse_beyond(tensors)
        raise TrainingError(
            f"{path} holds no LoRA: none of its {len(tensors)} keys ends in one of {', '.join(_FIRST_PARTS)}."
        )
    if _PEFT_SETTINGS in metadata:
        tensors |= _peft_alphas(path, tensors, metadata[_PEFT_SETTINGS])
    return LoraWeights(tensors, metadata)


def _flat(layers: Layers, stems: Mapping[str, str]) -> dict[str, torch.Tensor]:
    return {stems[name] + part: tensor for name, parts in layers.items() for part, tensor in parts.items()}


def _refuse(unknown: Mapping[str, str]) -> None:
    if unknown:
        raise TrainingError(
            f"{len(unknown)} of the LoRA's layers have no name in that format ({describe_unknown(unknown)}); "
            "save with key_format kohya where they are kohya's, or say by --architecture what the LoRA is for."
        )


def _for_diffusers(own: Layers, architecture: str, base_weight: BaseWeight | None) -> dict[str, torch.Tensor]:
    names, prefix = names_in_diffusers(list(own), architecture), component(architecture)
    tensors: dict[str, torch.Tensor] = {}
    for module, parts in own.items():
        found = names[module]
        product = as_product(module, parts, found.kernel)
        magnitude = _peft_magnitude(module, parts, base_weight)
        up = product.up
        if found.rows is Rows.SWAPPED:
            up, magnitude = (None if each is None else torch.cat(each.chunk(2)[::-1]) for each in (up, magnitude))
        sizes = found.rows.sizes(len(found.names), product.up.shape[0], product.down.shape[1])
        if not sizes or up is None:
            raise TrainingError(
                f"The layer {module!r} has {product.up.shape[0]} rows, which do not split into diffusers' "
                f"{', '.join(found.names)}; save with key_format diffusion_model."
            )
        pieces = zip(found.names, up.split(sizes), strict=True)
        for index, (name, rows) in enumerate(pieces):
            tensors[f"{prefix}.{name}.lora_A.weight"] = product.down.clone()
            tensors[f"{prefix}.{name}.lora_B.weight"] = rows.clone()
            if magnitude is not None:
                # PEFT's shape for a convolution: the outputs second.
                kernel = tuple(1 for _ in product.down.shape[2:])
                shape = (1, -1, *kernel) if kernel else (-1,)
                tensors[f"{prefix}.{name}.lora_magnitude_vector"] = magnitude.split(sizes)[index].reshape(shape).clone()
    return tensors


def _peft_magnitude(
    module: str, parts: Mapping[str, torch.Tensor], base_weight: BaseWeight | None
) -> torch.Tensor | None:
    """(out,) where the layer is a DoRA."""
    if PEFT_MAGNITUDE in parts:
        return parts[PEFT_MAGNITUDE].flatten()
    if MAGNITUDE not in parts:
        return None
    growth = growth_of_rows(module, parts, _base_of(module, base_weight))
    return (parts[MAGNITUDE].flatten().double() * growth).float()


def _with_our_magnitude(
    module: str, parts: Mapping[str, torch.Tensor], base_weight: BaseWeight | None
) -> dict[str, torch.Tensor]:
    if PEFT_MAGNITUDE not in parts:
        return dict(parts)
    growth = growth_of_rows(module, parts, _base_of(module, base_weight))
    magnitude = (parts[PEFT_MAGNITUDE].flatten().double() / growth).float()
    shape = (-1, *(1 for _ in parts[DOWN].shape[1:]))
    return {part: tensor for part, tensor in parts.items() if part != PEFT_MAGNITUDE} | {
        MAGNITUDE: magnitude.reshape(shape)
    }


def _base_of(module: str, base_weight: BaseWeight | None) -> torch.Tensor:
    if base_weight is None:
        raise TrainingError(
            "This is a DoRA. PEFT and diffusers divide its magnitude by the norm of W + ΔW, ComfyUI by that of W, so "
            "that converting it needs the base model's weights: `maskloss lora convert … --base MODEL.safetensors`."
        )
    return base_weight(module)


def _peft_alphas(path: Path, tensors: Mapping[str, torch.Tensor], settings: str) -> dict[str, torch.Tensor]:
    """An alpha for every layer that has none, as PEFT's settings have it: the first pattern that fits, else the
    common one."""
    try:
        values = json.loads(settings)
        if not isinstance(values, dict):
            raise TypeError(f"it holds {type(values).__name__}, no settings")
        alphas: dict[str, torch.Tensor] = {}
        for stem in (key[: -len(DOWN)] for key in tensors if key.endswith(DOWN)):
            prefix, _, module = stem.partition(".")
            if stem + ALPHA in tensors or f"{prefix}.lora_alpha" not in values:
                continue
            patterns: Mapping[str, float] = values.get(f"{prefix}.alpha_pattern") or {}
            fitting = (value for name, value in patterns.items() if re.match(rf"(.*\.)?({name})$", module))
            alphas[stem + ALPHA] = torch.tensor(float(next(fitting, values[f"{prefix}.lora_alpha"])))
        return alphas
    except (ValueError, TypeError, AttributeError, re.error) as problem:
        raise TrainingError(
            f"{path} notes its alpha in {_PEFT_SETTINGS!r}, which cannot be read ({problem}); save the LoRA again."
        ) from problem
