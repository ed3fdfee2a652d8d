"""What a shard of a prompt runs, or a cluster: everything up to the cache, and nothing that needs it whole."""

from __future__ import annotations

from ..core.errors import PromptError
from ..nodes.sockets import CACHE
from .prompt import Prompt, PromptNode, Registry, checked_order

_FILLS, _ADDS, _OPENS = "MaskLossCacheLatents", "MaskLossCacheText", "MaskLossLoadCache"


def until_cache(prompt: Prompt, registry: Registry) -> tuple[Prompt, list[PromptNode]]:
    """The nodes that a shard runs, and those behind the cache, as `before_and_behind` has them.

    PromptError where nothing in the prompt fills a cache.
    """
    kept, behind = before_and_behind(prompt, registry)
    if not any(node.class_type == _FILLS for node in kept.values()):
        raise PromptError(f"--shard divides the work of {_FILLS}, and the prompt has none; run it without")
    return kept, behind


def before_and_behind(prompt: Prompt, registry: Registry) -> tuple[Prompt, list[PromptNode]]:
    """The nodes that make a cache and whatever leads there, and those that need it whole, in the order in which they
    would run. Everything is checked first."""
    kept: Prompt = {}
    behind: list[PromptNode] = []
    for node in checked_order(prompt, registry):
        if _needs_whole_cache(node, prompt, registry) or any(source not in kept for source, _ in node.links().values()):
            behind.append(node)
        else:
            kept[node.id] = node
    return kept, behind


def _needs_whole_cache(node: PromptNode, prompt: Prompt, registry: Registry) -> bool:
    if node.class_type in (_ADDS, _OPENS):
        return node.class_type == _OPENS
    types = [registry[prompt[source].class_type].RETURN_TYPES for source, _ in node.links().values()]  # type: ignore[attr-defined]
    outputs = [output for _, output in node.links().values()]
    return any(given[output] == CACHE for given, output in zip(types, outputs, strict=True))
