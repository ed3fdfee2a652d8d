"""`maskloss run`: one prompt file from reading to the last line on stdout."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ..core.errors import PathError
from ..core.host import LocalHost
from ..nodes import NODE_CLASS_MAPPINGS
from .builtin_nodes import BUILTIN_NODES
from .prompt import Registry, override, read_prompt
from .runner import NodeResult, run_prompt

REGISTRY: Registry = {**BUILTIN_NODES, **NODE_CLASS_MAPPINGS}


def run_file(file: Path, settings: Sequence[str], input_directory: Path | None, output_directory: Path | None) -> None:
    """Run the prompt in `file` with the overrides `settings`; texts for people go to stdout, the rest to stderr."""
    if input_directory is not None and not input_directory.is_dir():
        raise PathError(f"--input {input_directory} is not a directory; give the folder with your photographs")
    prompt = read_prompt(file)
    override(prompt, settings, REGISTRY)
    results = run_prompt(prompt, REGISTRY, LocalHost(input_directory, output_directory))
    for result in results.values():
        _tell(result)


def _tell(result: NodeResult) -> None:
    for line in result.ui.get("summary", []):
        print(line)
    sys.stdout.flush()
