"""`maskloss lora`: which programs load a LoRA file whole, and its way under other programs' keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ..core.errors import PathError, SettingError, TrainingError
from ..core.train.base_weights import base_weights
from ..core.train.lora_check import LoraFacts, loading_lines, lora_facts, save_for_others
from ..core.train.lora_file import KeyFormat, load_lora
from ..core.train.lora_loaders import EXACT, LOADERS
from ..core.warning import collected_warnings


def check(file: Path, loader: str | None, architecture: str) -> None:
    """Print what the file is and what each program makes of it. TrainingError when `loader` is given and does not load
    it whole."""
    facts = lora_facts(load_lora(file), architecture)
    print(f"{'file':<24}{file}: {_described(facts)}")
    lines = loading_lines(facts, [loader] if loader else list(LOADERS))
    for program, verdict, advice in lines:
        print(f"{program:<24}{verdict}" + (f"; {advice}" if advice else ""))
    if loader and lines[0][1] != EXACT:
        raise TrainingError(f"{lines[0][0]} does not load {file} whole: {lines[0][1]}; {lines[0][2]}.")


def convert(file: Path, output: Path, key_format: str, architecture: str, base: Path | None) -> None:
    """Write the LoRA under other keys and say what came out. PathError where `output` is there already."""
    if output.exists():
        raise PathError(f"{output} is there already; give a new file.")
    if output.suffix != ".safetensors":
        raise SettingError(f"{output} is no .safetensors file; give a name that ends in .safetensors.")
    lora = load_lora(file)
    weights: Callable[[str], torch.Tensor] | None = base_weights(base) if base else None
    with collected_warnings(lambda text: print(f"warning     {text}")):
        save_for_others(output, lora, KeyFormat(key_format), weights, architecture)
    print(f"read        {file}: {_described(lora_facts(lora, architecture))}")
    print(f"written     {output}: {_described(lora_facts(load_lora(output), architecture))}")


def _described(facts: LoraFacts) -> str:
    keys = f"keys as {facts.key_format.value}" if facts.key_format else "keys of another kind"
    return f"{facts.layers} layers, {facts.algorithm}, for {facts.architecture or 'an unknown architecture'}, {keys}"
