"""What a LoRA file is, and which programs load it whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import TrainingError
from ..warning import warn
from .diffusers_keys import base_name, every_module, is_known, known_architectures
from .lora_file import ARCHITECTURE, BaseWeight, KeyFormat, LoraWeights, chosen_format, save_lora, with_key_format
from .lora_keys import describe_beyond
from .lora_layers import Layers, algorithm_of, layers_of, refuse_halves
from .lora_loaders import EXACT, LOADERS, is_silent, load_measurements, verdict_of
from .lora_names import known_places

# Programs that most people load a LoRA with; of what these leave out Save LoRA warns.
COMMON = ("comfyui", "diffusers")


@dataclass(frozen=True)
class LoraFacts:
    """What a file holds: how many layers, of which algorithm (several are joined by +), for which architecture (empty
    where it cannot be told), under which keys (None where they are none that we write). `beyond`: what it carries
    besides, that is no product of low rank, of which no program's reading was measured; or empty."""

    layers: int
    algorithm: str
    architecture: str
    key_format: KeyFormat | None
    beyond: str = ""


def lora_facts(lora: LoraWeights, architecture: str = "") -> LoraFacts:
    """`architecture` where the user says it; else that of the metadata, else the only one that has all the layers.
    TrainingError for half a LoRA."""
    beyond = describe_beyond(lora)
    if beyond:
        lora = LoraWeights({key: lora[key] for key in lora if not describe_beyond([key])}, lora.metadata)
    layers = layers_of(lora)
    refuse_halves(layers)
    kinds = Counter(algorithm_of(parts) for parts in layers.values())
    found = base_name(architecture) or architecture_of_file(layers, lora.metadata)
    return LoraFacts(len(layers), "+".join(sorted(kinds)), found, _key_format(lora, found), beyond)


def architecture_of_file(layers: Layers, metadata: Mapping[str, str]) -> str:
    """The `modelspec.architecture` of a file, without its `/lora`: by its metadata, or by its layers where these belong
    to one architecture alone; "" where that cannot be told."""
    noted = base_name(metadata.get(ARCHITECTURE, "")).lower()
    if is_known(noted):
        return noted
    fitting = [name for name in known_architectures() if _has_all(name, layers)]
    # wan2.1 and wan2.2, or Stable Diffusion 1 and 2, have one table: which of them it is changes no key.
    first = fitting[0] if fitting else ""
    alike = all(list(every_module(name)) == list(every_module(first)) for name in fitting)
    return first if alike and fitting else noted


def loading_lines(facts: LoraFacts, loaders: Collection[str]) -> list[tuple[str, str, str]]:
    """(loader with its version, verdict, what to do) for each of `loaders`."""
    lines: list[tuple[str, str, str]] = []
    for loader in loaders:
        program = f"{LOADERS[loader]} {load_measurements()['versions'][loader]}"
        verdict = verdict_of(facts.architecture, facts.algorithm, facts.key_format, loader)
        lines.append((program, verdict or "not measured", "" if verdict == EXACT else advice(facts, loader)))
    return lines


def advice(facts: LoraFacts, loader: str) -> str:
    """The key format by which that program would load the LoRA whole, as a sentence; or that there is none."""
    fitting = fitting_formats(facts, loader)
    if facts.key_format is None and not facts.architecture:
        return "its keys are none that were measured, and what it is for cannot be told"
    if facts.key_format is None and not fitting:
        return "its keys are none that were measured"
    base = " (with --base, the model's weights)" if facts.algorithm == "dora" and fitting == ["diffusers"] else ""
    return f"whole with the key format {' or '.join(fitting)}{base}" if fitting else "whole in no key format"


def fitting_formats(facts: LoraFacts, loader: str) -> list[str]:
    """The key formats under which that program loads such a LoRA whole, as far as was measured."""
    return [
        key_format.value
        for key_format in KeyFormat
        if verdict_of(facts.architecture, facts.algorithm, key_format, loader) == EXACT
    ]


def save_for_others(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    key_format: KeyFormat = KeyFormat.AUTO,
    base_weight: BaseWeight | None = None,
    architecture: str = "",
) -> None:
    """Write a LoRA and warn of each common program that would leave a part of it out without an error.

    `architecture` where neither the metadata nor the layers say it.
    """
    lora = tensors if isinstance(tensors, LoraWeights) else LoraWeights(tensors)
    layers = layers_of(lora)
    known = base_name(architecture) or architecture_of_file(layers, lora.metadata)
    metadata = {**lora.metadata, ARCHITECTURE: f"{known}/lora"} if known else lora.metadata
    save_lora(path, lora, metadata, key_format, base_weight)
    kinds = {algorithm_of(parts) for parts in layers.values()}
    written = chosen_format(key_format, known)
    facts = LoraFacts(len(layers), "+".join(sorted(kinds)), known, written)
    for loader in COMMON:
        verdict = verdict_of(facts.architecture, facts.algorithm, facts.key_format, loader)
        if verdict is not None and is_silent(verdict):
            warn(
                f"{LOADERS[loader]} {load_measurements()['versions'][loader]} does not load {path.name} whole "
                f"({verdict}), and says so in its log at most; it loads it {advice(facts, loader)}."
            )


def _has_all(architecture: str, layers: Layers) -> bool:
    places = known_places(architecture)
    return all(places.of(stem) is not None for stem in layers)


def _key_format(lora: LoraWeights, architecture: str) -> KeyFormat | None:
    for key_format in (KeyFormat.DIFFUSION_MODEL, KeyFormat.KOHYA, KeyFormat.DIFFUSERS):
        try:
            written = with_key_format(lora, key_format, architecture, _any_base)
        except TrainingError:
            continue
        keys = {key.replace(".lora_A.", ".lora_down.").replace(".lora_B.", ".lora_up.") for key in written}
        if keys - {key for key in keys if key.endswith(".alpha")} == {
            key for key in lora if not key.endswith(".alpha")
        }:
            return key_format
    return None


def _any_base(module: str) -> torch.Tensor:
    raise TrainingError(f"the base weight of {module} is not at hand")
