"""`maskloss run`: one prompt file, from reading it to what is printed on stdout."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.dataset.shard import Shard
from ..core.errors import PathError
from ..core.host import LocalHost
from ..nodes import NODE_CLASS_MAPPINGS
from .builtin_nodes import BUILTIN_NODES
from .prompt import Prompt, PromptNode, Registry, override, read_prompt
from .runner import NodeResult, run_prompt
from .shards import until_cache

REGISTRY: Registry = {**BUILTIN_NODES, **NODE_CLASS_MAPPINGS}


def run_file(
    file: Path,
    settings: Sequence[str],
    input_directory: Path | None,
    output_directory: Path | None,
    shard: str | None = None,
) -> None:
    """Run the prompt in `file` with the overrides `settings`; texts for people go to stdout, the rest to stderr. With
    `shard`, such as "1/2", only that shard is cached, and what stands behind the cache is left out."""
    if input_directory is not None and not input_directory.is_dir():
        raise PathError(f"--input {input_directory} is not a directory; give the folder with your photographs")
    prompt = read_prompt(file)
    override(prompt, settings, REGISTRY)
    own = None if shard is None else Shard.parse(shard)
    behind: list[PromptNode] = []
    if own is not None:
        prompt, behind = until_cache(prompt, REGISTRY)
    results = run_prompt(prompt, REGISTRY, LocalHost(input_directory, output_directory, own))
    tell_results(results, prompt)
    if behind:
        labels = ", ".join(node.label for node in behind)
        print(f"not run in a shard: {labels}; run this file without --shard when all shards are finished")


def tell_results(results: Mapping[str, NodeResult], prompt: Prompt) -> None:
    """Each node's summary and warnings, to stdout."""
    for node_id, result in results.items():
        _tell(result, prompt[node_id])


def _tell(result: NodeResult, node: PromptNode) -> None:
    for line in result.ui.get("summary", []):
        print(line)
    for text in result.ui.get("warnings", []):
        print(f"WARNING [{node.label}]: {text}")
    sys.stdout.flush()
