"""`maskloss lora`: which programs load a LoRA file whole, and its way under other programs' keys."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path

import torch

from ..core.comfy.model.architectures import architecture_names
from ..core.errors import PathError, SettingError, TrainingError
from ..core.train.base_weights import base_weights
from ..core.train.diffusers_keys import base_name
from ..core.train.lora_check import LoraFacts, fitting_formats, loading_lines, lora_facts, save_for_others
from ..core.train.lora_file import KeyFormat, load_lora
from ..core.train.lora_keys import beyond_sentence
from ..core.train.lora_loaders import EXACT, LOADERS
from ..core.warning import collect_warnings


def check(file: Path, loader: str | None, architecture: str) -> None:
    """Print what the file is and what each program makes of it. TrainingError when `loader` is given and does not load
    it whole."""
    _check_architecture(architecture)
    facts, loaders = lora_facts(load_lora(file), architecture), [loader] if loader else list(LOADERS)
    print(f"{'file':<24}{file}: {_describe(facts)}")
    if facts.beyond:
        print(f"{'besides':<24}{beyond_sentence(facts.beyond)}")
        print(f"{'programs':<24}what they make of such a file was not measured")
        if loader:
            raise TrainingError(f"What {LOADERS[loader]} makes of {file} was not measured; load it there and look.")
        return
    lines = loading_lines(facts, loaders)
    for program, verdict, advice in lines:
        print(f"{program:<24}{verdict}" + (f"; {advice}" if advice else ""))
    if not facts.architecture:
        print(f"say what it is for: maskloss lora check {shlex.quote(str(file))} --architecture NAME")
        print(f"NAME is one of {', '.join(architecture_names())}")
    for command in _commands(file, facts, [each for each, line in zip(loaders, lines, strict=True) if line[2]]):
        print(f"to mend it: {command}")
    if loader and lines[0][1] != EXACT:
        raise TrainingError(f"{lines[0][0]} does not load {file} whole: {lines[0][1]}; {lines[0][2]}.")


def convert(file: Path, output: Path, key_format: str, architecture: str, base: Path | None) -> None:
    """Write the LoRA under other keys and say what came out. PathError where `output` is there already."""
    _check_architecture(architecture)
    if output.exists():
        raise PathError(f"{output} is there already; give a new file.")
    if output.suffix != ".safetensors":
        raise SettingError(f"{output} is no .safetensors file; give a name that ends in .safetensors.")
    lora = load_lora(file)
    weights: Callable[[str], torch.Tensor] | None = base_weights(base) if base else None
    with collect_warnings(lambda text: print(f"warning     {text}")):
        save_for_others(output, lora, KeyFormat(key_format), weights, architecture)
    print(f"read        {file}: {_describe(lora_facts(lora, architecture))}")
    print(f"written     {output}: {_describe(lora_facts(load_lora(output), architecture))}")


def _check_architecture(name: str) -> None:
    """SettingError unless it is an architecture that is known by name, or none was said."""
    known = architecture_names()
    if not name or base_name(name) in known:
        return
    near = get_close_matches(base_name(name).lower(), known, n=1)
    hint = f"did you mean {near[0]}? It is" if near else "it is"
    raise SettingError(f"--architecture {name} is not known: {hint} one of {', '.join(known)}.")


def _commands(file: Path, facts: LoraFacts, loaders: Sequence[str]) -> list[str]:
    """What to type so that each of these programs has a file that it loads whole; one command where one file does."""
    wanted = {loader: formats for loader in loaders if (formats := fitting_formats(facts, loader))}
    chosen: list[str] = []
    while wanted:
        counts = Counter(each for formats in wanted.values() for each in formats)
        chosen.append(counts.most_common(1)[0][0])
        wanted = {loader: formats for loader, formats in wanted.items() if chosen[-1] not in formats}
    return [
        f"maskloss lora convert {shlex.quote(str(file))} {shlex.quote(str(file.with_stem(f'{file.stem}-{each}')))} "
        f"--format {each} --architecture {facts.architecture}"
        + (" --base MODEL.safetensors" if each == "diffusers" and facts.algorithm == "dora" else "")
        for each in chosen
    ]


def _describe(facts: LoraFacts) -> str:
    keys = f"keys as {facts.key_format.value}" if facts.key_format else "keys of another kind"
    return f"{facts.layers} layers, {facts.algorithm}, for {facts.architecture or 'an unknown architecture'}, {keys}"
