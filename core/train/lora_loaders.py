"""What other programs' loaders make of a LoRA file, as `benchmarks/loaders.py` has measured it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

LOADERS_FILE = Path(__file__).with_name("lora_loaders.json")
EXACT, REFUSED = "exact", "refused"
NO_MODEL = "no such model"
# Of one network class, and read by the same code in each of the programs.
_SAME = {
    "wan2.2": "wan2.1",
    "flux-1-schnell": "flux-1-dev",
    "stable-diffusion-xl-v1-refiner": "stable-diffusion-xl-v1-base",
}
LOADERS = {"comfyui": "ComfyUI", "diffusers": "diffusers", "lycoris": "LyCORIS", "kohya": "musubi-tuner"}


@lru_cache(maxsize=1)
def load_measurements() -> Mapping[str, Any]:
    """`versions` of the programs, and `architectures` → algorithm → key format → loader → verdict."""
    return json.loads(LOADERS_FILE.read_text(encoding="utf-8"))


def verdict_of(architecture: str, algorithm: str, key_format: str | None, loader: str) -> str | None:
    """What the loader makes of such a file: `exact`, `refused: …`, `ignored`, `n of m layers`, `off by …`; None where
    that was not measured. `key_format` is one of `KeyFormat`'s but `auto`."""
    formats = _of(architecture).get(algorithm, {})
    return formats.get(key_format, {}).get(loader)


def is_silent(verdict: str) -> bool:
    """Whether the program goes on with less than the whole LoRA, or with something else."""
    return verdict not in (EXACT, NO_MODEL) and not verdict.startswith(REFUSED)


def widest_format(architecture: str) -> str | None:
    """The key format under which a plain LoRA of that architecture is loaded whole by most programs; of equal ones that
    under which the other algorithms are too, then the first. None where nothing was measured."""
    algorithms = _of(architecture)
    if not algorithms:
        return None

    def exact(algorithm: str, key_format: str) -> int:
        return sum(verdict == EXACT for verdict in algorithms[algorithm][key_format].values())

    # A DoRA, LoHa or LoKr is written in diffusers' keys as something else, or not at all.
    own = [key_format for key_format in algorithms["lora"] if key_format != "diffusers"]
    return max(own, key=lambda name: (exact("lora", name), sum(exact(each, name) for each in algorithms)))


def _of(architecture: str) -> Mapping[str, Any]:
    return load_measurements()["architectures"].get(_SAME.get(architecture, architecture), {})


def table(facts: Mapping[str, Any]) -> str:
    """The verdicts as a Markdown table: one row for each architecture, algorithm and format."""
    loaders = [name for name in LOADERS if name in facts["versions"]]
    head = [f"{LOADERS[name]} {facts['versions'][name]}" for name in loaders]
    lines = [
        "| architecture | algorithm | key format | " + " | ".join(head) + " |",
        "|---|---|---|" + "---|" * len(loaders),
    ]
    for architecture, algorithms in facts["architectures"].items():
        for algorithm, formats in algorithms.items():
            for key_format, verdicts in formats.items():
                told = [verdicts.get(name, "") for name in loaders]
                lines.append(f"| {architecture} | {algorithm} | `{key_format}` | " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"
