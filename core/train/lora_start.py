"""Other programs' LoRA files as a start: their layers found, put together where they are apart, and fitted to the run's
rank and alpha without changing what they do."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ..errors import TrainingError
from .algorithms import Adapter
from .lora_keys import refuse_beyond
from .lora_layers import (
    ALPHA,
    DOWN,
    MAGNITUDE,
    PARTS,
    PEFT_MAGNITUDE,
    UP,
    algorithm_of,
    growth_of_rows,
    layers_of,
    scale_of,
)
from .lora_names import KEY_PREFIX, Places, describe_unknown, kohya_name, own_layers


def has_our_names(tensors: Mapping[str, torch.Tensor], architecture: str, adapters: Mapping[str, Adapter]) -> bool:
    """Whether every key is `diffusion_model.…` or has the name under which we write one of these modules for kohya.

    `diffusion_model.` before diffusers' name of a layer, as ai-toolkit writes some, is none of ours. TrainingError
    where the file carries something that is no product of low rank.
    """
    refuse_beyond(tensors)
    kohya = {kohya_name(module) for module in adapters}
    places = Places(architecture, list(adapters))
    for key in tensors:
        stem = next((key[: -len(part)] for part in PARTS if key.endswith(part)), key)
        named = stem.startswith(KEY_PREFIX)
        theirs = named and stem[len(KEY_PREFIX) :] not in adapters and places.of(stem) is not None
        if key.endswith(PEFT_MAGNITUDE) or theirs or not (named or stem in kohya):
            return False
    return True


def starting_tensors(
    tensors: Mapping[str, torch.Tensor], architecture: str, adapters: Mapping[str, Adapter]
) -> dict[str, torch.Tensor]:
    """The LoRA under `diffusion_model.…`, for a run with these `adapters` by module name. Its scale is that of the run,
    and a rank below the run's is filled up: with the fresh adapter's rows below, zeros above, so that ΔW stays.

    TrainingError naming layers that are none of the run's, and a layer of more rank than the run has.
    """
    shapes = {name: _sizes(adapter) for name, adapter in adapters.items()}
    layers, unknown = own_layers(layers_of(tensors), architecture, shapes)
    unknown |= {name: "this run trains no such layer" for name in layers if name not in adapters}
    if unknown:
        raise TrainingError(
            f"The LoRA to start from has {len(unknown)} layers that this run would drop ({describe_unknown(unknown)}); "
            "use the same model, targets and conv as that LoRA, or start without it."
        )
    return {
        f"{KEY_PREFIX}{name}{part}": tensor
        for name, parts in layers.items()
        for part, tensor in _fit_rank(name, parts, adapters[name]).items()
    }


def _sizes(adapter: Adapter) -> tuple[int, int]:
    weight = adapter.layer.weight
    rows = getattr(adapter.layer, "out_features", weight.shape[0])
    # A quantised layer's weight may be packed; what it maps from and to is not.
    return rows, getattr(adapter.layer, "in_features", weight.shape[1])


def _fit_rank(name: str, parts: Mapping[str, torch.Tensor], adapter: Adapter) -> dict[str, torch.Tensor]:
    fresh = adapter.parts.get(DOWN[1:])
    if algorithm_of(parts) not in ("lora", "dora") or fresh is None:
        return dict(parts)
    up, down, rank = parts[UP], parts[DOWN], fresh.shape[0]
    if down.shape[0] > rank:
        raise TrainingError(
            f"The LoRA to start from needs rank {down.shape[0]} for layer {name!r}, this run has {rank}. Parts that "
            f"were trained apart (queries, keys, values) add their ranks; set rank to at least {down.shape[0]}."
        )
    factor = scale_of(parts) * rank / adapter.alpha
    fitted = dict(parts) | {ALPHA: torch.tensor(float(adapter.alpha))}
    fitted[UP] = up if math.isclose(factor, 1, rel_tol=1e-9) else up.float() * factor
    missing = rank - down.shape[0]
    if missing:
        fitted[UP] = torch.cat([fitted[UP], fitted[UP].new_zeros(up.shape[0], missing, *up.shape[2:])], dim=1)
        fitted[DOWN] = torch.cat([down, fresh[-missing:].detach().to(down)])
    if PEFT_MAGNITUDE in fitted:
        growth = growth_of_rows(name, parts, adapter.layer.weight.detach().cpu())
        magnitude = (fitted.pop(PEFT_MAGNITUDE).flatten().double() / growth).float()
        fitted[MAGNITUDE] = magnitude.reshape(-1, *(1 for _ in down.shape[1:]))
    return fitted
