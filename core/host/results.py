"""What our nodes showed last, by workflow, for as long as the program lives: a page that is loaded again in a run has
it back from here. ComfyUI itself tells a page what a node shows only when the node ends."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

ROUTE = "/maskloss/results"
MOST_WORKFLOWS = 10
MOST_NODES = 200
UNNAMED = "00000000-0000-0000-0000-000000000000"
"""The id of every graph that was not loaded from a file."""

Shown = Mapping[str, list[Any]]
"""The `ui` of a node's result."""


@dataclass
class _Kept:
    """What a node of a class showed in a prompt."""

    prompt: str
    node_class: str
    shown: dict[str, list[Any]]


class KeptResults:
    """The newest `ui` of each node of the newest workflows."""

    def __init__(self, most: int = MOST_WORKFLOWS) -> None:
        self._most = most
        self._kept: dict[str, dict[str, _Kept]] = {}
        self._lock = threading.Lock()

    def keep(self, workflow: str, prompt: str, node: str, node_class: str, shown: Shown) -> None:
        """For the end of a node's run. A node that runs several times in one `prompt`, over a list, adds to its lists,
        as ComfyUI merges them."""
        with self._lock:
            nodes = self._kept.pop(workflow, {})
            before = nodes.pop(node, None)
            merged = before.shown if before is not None and before.prompt == prompt else {}
            shown = {name: [*merged.get(name, []), *values] for name, values in shown.items()}
            nodes[node] = _Kept(prompt, node_class, shown)
            self._kept[workflow] = nodes
            if len(nodes) > MOST_NODES:
                del nodes[next(iter(nodes))]
            if len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def of(self, workflow: str, running: Collection[str] = ()) -> dict[str, Any]:
        """{"nodes": {id: ui}, "classes": {id: class}} of a workflow. Of one that is not known, as a graph that nobody
        saved is not once its page is loaded again, what the `running` prompts have shown."""
        with self._lock:
            found = {} if workflow == UNNAMED else dict(self._kept.get(workflow, {}))
            if not found:
                every = (pair for nodes in self._kept.values() for pair in nodes.items())
                found = {node: kept for node, kept in every if kept.prompt in running}
        return {
            "nodes": {node: kept.shown for node, kept in found.items()},
            "classes": {node: kept.node_class for node, kept in found.items()},
        }


KEPT_RESULTS = KeptResults()
