"""Runs the nodes of a checked prompt one after the other, lists mapped as ComfyUI maps them; prints nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..core.dataset.items import Dataset
from ..core.errors import ItemsFailedError, PromptError, UserError
from ..core.host import LocalHost, use_host
from ..nodes.checks import declared_inputs
from .prompt import Prompt, PromptNode, Registry, as_api, checked_order

Outputs = list[list[Any]]
# A file may say 2 where a FLOAT is meant and 2.0 where an INT is; nodes get what they declare, as in ComfyUI.
_NUMBERS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float}


@dataclass(frozen=True)
class NodeResult:
    """What one node gave: a list per output (as ComfyUI keeps them) and its `ui` values."""

    outputs: Outputs
    ui: dict[str, list[Any]]


class Watcher(Protocol):
    """Is told how a prompt goes."""

    def finished(self, node: PromptNode, outputs: Outputs) -> None:
        """What a node gave."""
        ...

    def failed(self, node: PromptNode, error: ItemsFailedError) -> None:
        """Items that a node could not work on, and goes on without."""
        ...


def run_prompt(
    prompt: Prompt,
    registry: Registry,
    host: LocalHost,
    quiet: bool = False,
    watcher: Watcher | None = None,
) -> dict[str, NodeResult]:
    """Check everything, run what leads to an output node, and return the results of those nodes by id.

    A UserError of a node comes back as PromptError naming node id and class; other exceptions come as they are,
    after a line on stderr that names the node. Nothing is cached; an output is dropped after its last use.
    `quiet`: what is running goes unsaid. Where work on some items failed in other processes (ItemsFailedError), the
    node runs again without them, and `watcher` is told.
    """
    tell: Callable[[str], object] = _say_nothing if quiet else sys.stderr.write
    order = checked_order(prompt, registry)
    last_use = {source: node.id for node in order for source, _ in node.links().values()}
    results: dict[str, NodeResult] = {}
    host.begin_prompt(as_api(prompt))
    with use_host(host):
        for number, node in enumerate(order, start=1):
            host.begin_node(node.id, node.label)
            tell(f"[{number}/{len(order)}] {node.label}\n")
            started = time.monotonic()
            results[node.id] = _run_named(node, registry[node.class_type], results, watcher)
            if watcher is not None:
                watcher.finished(node, results[node.id].outputs)
            seconds = time.monotonic() - started
            if seconds >= 1:
                tell(f"  [{node.label}] {seconds:.1f} s\n")
            for source, _ in node.links().values():
                if last_use[source] == node.id:
                    results[source] = NodeResult([], results[source].ui)
    return results


def _run_named(node: PromptNode, cls: type, results: Mapping[str, NodeResult], watcher: Watcher | None) -> NodeResult:
    inputs = node_inputs(node, cls, results)
    try:
        while True:
            try:
                return run_node(cls, inputs)
            except ItemsFailedError as error:
                # The others are done: they are found unchanged now.
                inputs = _without_failed(inputs, error)
                if watcher is not None:
                    watcher.failed(node, error)
    except UserError as error:
        raise PromptError(f"node {node.id} ({node.class_type}): {error}") from error
    except BaseException:
        sys.stderr.write(f"  [{node.label}] stopped here\n")
        raise


def run_node(cls: Any, inputs: Mapping[str, list[Any]]) -> NodeResult:
    """Run one node over lists of values: once per list item (the last one repeats), or once with the whole lists."""
    function = getattr(cls(), cls.FUNCTION)
    if getattr(cls, "INPUT_IS_LIST", False):
        returned = [function(**inputs)]
    else:
        count = max((len(values) for values in inputs.values()), default=1)
        if any(not values for values in inputs.values()):
            count = 0
        returned = [
            function(**{name: values[min(index, len(values) - 1)] for name, values in inputs.items()})
            for index in range(count)
        ]
    return NodeResult(_merged_outputs(cls, returned), _merged_ui(returned))


def _without_failed(inputs: Mapping[str, list[Any]], error: ItemsFailedError) -> dict[str, list[Any]]:
    """The inputs with datasets that have the items no more. The error itself where nothing would be left of them."""

    def without(value: Any) -> Any:
        if not isinstance(value, Dataset):
            return value
        left = value.without(error.reasons)
        if not left.items or len(left.items) == len(value.items):
            raise error
        return left

    return {name: [without(value) for value in values] for name, values in inputs.items()}


def node_inputs(node: PromptNode, cls: type, results: Mapping[str, NodeResult]) -> dict[str, list[Any]]:
    """The lists that a node is run with: its constants, and what the nodes gave that it is linked to."""
    links, declared = node.links(), declared_inputs(cls)
    return {
        name: results[links[name][0]].outputs[links[name][1]]
        if name in links
        else [_NUMBERS.get(declared[name][0], _same)(value)]
        for name, value in node.inputs.items()
    }


def _say_nothing(_line: str) -> None:
    return None


def _same(value: Any) -> Any:
    return value


def _merged_outputs(cls: Any, returned: list[Any]) -> Outputs:
    tuples = [value.get("result", ()) if isinstance(value, dict) else value for value in returned]
    are_lists = getattr(cls, "OUTPUT_IS_LIST", (False,) * len(cls.RETURN_TYPES))
    merged: Outputs = []
    for index, is_list in enumerate(are_lists):
        column = [values[index] for values in tuples]
        merged.append([item for values in column for item in values] if is_list else column)
    return merged


def _merged_ui(returned: list[Any]) -> dict[str, list[Any]]:
    merged: dict[str, list[Any]] = {}
    for value in returned:
        for name, items in (value.get("ui", {}) if isinstance(value, dict) else {}).items():
            merged.setdefault(name, []).extend(items)
    return merged
