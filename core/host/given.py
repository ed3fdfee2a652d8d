"""The warnings of every node, for as long as the program lives: a report tells those of the nodes before it, also of
such whose results ComfyUI kept from an earlier prompt."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

MOST_NODES = 1000

# An API-format prompt: {node id: {"class_type", "inputs"}}, where [node id, output] is a link.
ApiPrompt = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class GivenWarning:
    """A warning and the node that gave it."""

    node: str
    node_class: str
    text: str


class GivenWarnings:
    """What the nodes warned of when they last ran, kept by what they were run on, as ComfyUI keeps their results: nodes
    of different workflows share their ids, and an older prompt's results may come back."""

    def __init__(self, most: int = MOST_NODES) -> None:
        self._most = most
        self._kept: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._lock = threading.Lock()

    def keep(self, prompt: ApiPrompt, run: str, node: str, texts: Sequence[str]) -> None:
        """For the end of a node's run. A node that runs several times in one `run`, over a list, adds to its texts."""
        key = _keys(prompt, node)[node]
        with self._lock:
            before = self._kept.pop(key, (run, ()))
            same = before[1] if before[0] == run else ()
            self._kept[key] = (run, tuple(dict.fromkeys((*same, *texts))))
            if len(self._kept) > self._most:
                del self._kept[next(iter(self._kept))]

    def before(self, prompt: ApiPrompt, node: str) -> list[GivenWarning]:
        """The warnings of the nodes from which `node` takes its inputs, the first ones first."""
        keys = _keys(prompt, node)
        with self._lock:
            return [
                GivenWarning(each, str(prompt[each]["class_type"]), text)
                for each, key in keys.items()
                if each != node
                for text in self._kept.get(key, ("", ()))[1]
            ]


def _keys(prompt: ApiPrompt, last: str) -> dict[str, str]:
    """What each node up to `last` is run on, as hex digests, in an order in which they can run."""
    sources: dict[str, set[str]] = {}
    waiting = [last]
    while waiting:
        node = waiting.pop()
        if node not in sources:
            linked = (_linked_node(value, prompt) for value in prompt[node]["inputs"].values())
            sources[node] = {source for source in linked if source is not None}
            waiting.extend(sources[node])
    keys: dict[str, str] = {}
    for node in TopologicalSorter(sources).static_order():
        inputs: dict[str, Any] = {}
        for name, value in sorted(prompt[node]["inputs"].items()):
            source = _linked_node(value, prompt)
            inputs[name] = value if source is None else [keys[source], value[1]]
        text = json.dumps([prompt[node]["class_type"], inputs], default=str)
        keys[node] = hashlib.sha256(text.encode()).hexdigest()
    return keys


def _linked_node(value: Any, prompt: ApiPrompt) -> str | None:
    """The node that an input comes from; None for a value of its own."""
    pair: list[Any] = value if isinstance(value, list) else []
    return pair[0] if len(pair) == 2 and isinstance(pair[0], str) and pair[0] in prompt else None


GIVEN = GivenWarnings()
