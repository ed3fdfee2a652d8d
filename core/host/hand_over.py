"""What a program that waits hands to the processes that train for it: a folder with the prompt of one training node,
cut down to what they need, and with what they must find as it does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PathError, TrainingError
from ..files import write_text
from .given import ApiPrompt

ApiNode = dict[str, Any]


@dataclass(frozen=True)
class OwnPrompt:
    """The running prompt and the id of its running node.

    elsewhere: the nodes that a process of its own does not have, by id, such as other packs'. comfyui: where ComfyUI
    runs here, what another process needs to find the same models, as JSON: {"folder", "options": command line,
    "models": folder, "model_folders": {kind: [[folders], [suffixes]]}}.
    """

    prompt: ApiPrompt
    node: str
    elsewhere: frozenset[str] = frozenset()
    comfyui: Mapping[str, Any] | None = None

    def leading_to(self, values: Mapping[str, Any], replaced: Mapping[str, ApiNode]) -> dict[str, ApiNode]:
        """The running node and what leads to it, with `values` for its inputs; for those in `replaced` that node
        stands, by its first output. TrainingError where a node is not to be had elsewhere."""
        own = self.prompt[self.node]
        new = {f"{self.node}.{name}": node for name, node in replaced.items()}
        inputs = {**own["inputs"], **values, **{name: [f"{self.node}.{name}", 0] for name in replaced}}
        nodes: dict[str, ApiNode] = {}
        waiting: list[tuple[str, str, ApiNode]] = [(self.node, "", {**own, "inputs": inputs})]
        while waiting:
            name, to, node = waiting.pop(0)
            if name in nodes:
                continue
            if name in self.elsewhere:
                raise TrainingError(
                    f"devices is above 1, and node {name} ({node['class_type']}), which leads to {to}, is no node of "
                    "ComfyUI's own or of this pack: the processes that train cannot run it. Use ComfyUI's own nodes "
                    "there, or set devices to 1."
                )
            nodes[name] = {"class_type": node["class_type"], "inputs": dict(node["inputs"])}
            for given, value in node["inputs"].items():
                source = _linked(value)
                found = new.get(source) or self.prompt.get(source)
                if found is not None:
                    waiting.append((source, to or given, dict(found)))
        return nodes


class HandOver:
    """The folder of one hand-over."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prompt = folder / "prompt.json"
        self.events = folder / "events.jsonl"
        self._facts = folder / "facts.json"

    def write(
        self, prompt: Mapping[str, ApiNode], facts: Mapping[str, object], comfyui: Mapping[str, Any] | None
    ) -> None:
        """`facts` are those of which the processes' own must not differ, by name."""
        write_text(self.prompt, json.dumps(prompt))
        write_text(self._facts, json.dumps({"facts": dict(facts), "comfyui": comfyui}))

    def read(self) -> tuple[dict[str, object], dict[str, Any] | None]:
        """(facts, comfyui) as they were written. PathError where there is no hand-over."""
        try:
            content = json.loads(self._facts.read_text(encoding="utf-8"))
            return content["facts"], content["comfyui"]
        except (OSError, ValueError, LookupError, TypeError) as problem:
            raise PathError(
                f"{self.folder} holds nothing that was handed over ({problem}); leave --waiting to Train LoRA, which "
                "gives it the folder of its own."
            ) from problem


def _linked(value: Any) -> str:
    pair: list[Any] = value if isinstance(value, list) else []
    return str(pair[0]) if len(pair) == 2 else ""
