"""What our nodes showed last, by workflow, for as long as the program lives: a page that is loaded again in a run has
it back from here. ComfyUI itself tells a page what a node shows only when the node ends."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

ROUTE = "/maskloss/results"
MOST_WORKFLOWS = 10
MOST_NODES = 200

Shown = Mapping[str, list[Any]]
"""The `ui` of a node's result."""


class KeptResults:
    """The newest `ui` of each node of the newest workflows."""

    def __init__(self, most: int = MOST_WORKFLOWS) -> None:
        self._most = most
        self._kept: dict[str, dict[str, tuple[str, dict[str, list[Any]]]]] = {}
        self._lock = threading.Lock()

    def keep(self, workflow: str, prompt: str, node: str, shown: Shown) -> None:
        """For the end of a node's run. A node that runs several times in one `prompt`, over a list, adds to its lists,
        as ComfyUI merges them."""
        with self._lock:
            nodes = self._kept.pop(workflow, {})
            before, merged = nodes.pop(node, (prompt, {}))
            if before != prompt:
                merged = {}
            nodes[node] = (prompt, {name: [*merged.get(name, []), *values] for name, values in shown.items()})
            self._kept[workflow] = nodes
            if len(nodes) > MOST_NODES:
                del nodes[next(iter(nodes))]
            if len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def of(self, workflow: str) -> dict[str, Any]:
        """{"nodes": {id: ui}} of a workflow; none where nothing of it ran."""
        with self._lock:
            return {"nodes": {node: shown for node, (_, shown) in self._kept.get(workflow, {}).items()}}


KEPT_RESULTS = KeptResults()
