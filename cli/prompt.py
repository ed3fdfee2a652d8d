"""Reading an API-format prompt and saying everything that is wrong with it before anything runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from ..core.errors import PathError, PromptError
from ..nodes.checks import (
    WIDGETS,
    Declaration,
    checked_by_itself,
    declared_inputs,
    problem_with,
    required_inputs,
    suggestion,
    unknown_input,
)

Registry = Mapping[str, type]
Link = tuple[str, int]


@dataclass(frozen=True)
class PromptNode:
    """One node of a prompt. `inputs` holds constants and, as [node id, output], links."""

    id: str
    class_type: str
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return f"{self.id} {self.class_type}"

    def links(self) -> dict[str, Link]:
        return {name: (str(value[0]), value[1]) for name, value in self.inputs.items() if _is_link(value)}


Prompt = dict[str, PromptNode]


def as_api(prompt: Prompt) -> dict[str, dict[str, Any]]:
    """A prompt as ComfyUI takes it, whose links name their nodes as texts."""
    return {
        node.id: {
            "class_type": node.class_type,
            "inputs": {**node.inputs, **{name: [*link] for name, link in node.links().items()}},
        }
        for node in prompt.values()
    }


def read_prompt(path: Path) -> Prompt:
    """The prompt in a JSON file; PathError when it cannot be read, PromptError when it is not an API-format prompt."""
    if path.is_char_device() or path.is_block_device():  # which may have no end, as a shell's pipe has
        raise PathError(f"{path} is a device; give an API-format prompt as a JSON file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise PathError(f"{path} cannot be read ({reason}); give an API-format prompt as a JSON file") from error
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise PromptError(
            f"{path} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}); export the workflow again"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise PromptError(f"{path} is no prompt ({error}); export the workflow again") from error
    return parse_prompt(data, str(path))


def parse_prompt(data: object, source: str = "the prompt") -> Prompt:
    """The nodes of an API-format prompt. Raises PromptError when the structure is another one."""
    if not isinstance(data, dict):
        raise PromptError(f"{source} holds a {type(data).__name__}; an API-format prompt is an object of nodes by id")
    if isinstance(data.get("nodes"), list):
        raise PromptError(f"{source} is a workflow of the editor; export it with 'Export (API)' and run that file")
    if not data:
        raise PromptError(f"{source} is empty; it needs at least one node")
    prompt: Prompt = {}
    for node_id, node in data.items():
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            raise PromptError(f"{source}: node {node_id!r} has no class_type; an API-format prompt names one per node")
        inputs = node.get("inputs", {})
        if not isinstance(inputs, dict):
            raise PromptError(f"{source}: the inputs of node {node_id!r} are no object; give them by name")
        prompt[node_id] = PromptNode(node_id, node["class_type"], dict(inputs))
    return prompt


def override(prompt: Prompt, settings: Sequence[str], registry: Registry) -> None:
    """Apply each "<node id>.<input>=<value>" to `prompt` in place; values are read as the input's declared type."""
    for setting in settings:
        target, equals, text = setting.partition("=")
        node_id, dot, name = target.rpartition(".")
        if not equals or not dot:
            raise PromptError(f"--set {setting!r} is not of the form <node id>.<input>=<value>, such as 12.steps=40")
        node = prompt.get(node_id)
        if node is None:
            raise PromptError(f"--set {setting!r}: there is no node {node_id!r}{suggestion(node_id, prompt)}")
        known = declared_inputs(_class_of(node, registry))
        if name not in known:
            raise PromptError(f"--set {setting!r}: {unknown_input(registry[node.class_type], name)}")
        node.inputs[name] = _parse_value(setting, known[name], text)


def checked_order(prompt: Prompt, registry: Registry) -> list[PromptNode]:
    """The nodes that lead to an output, each after those that it needs.

    Everything is checked first; one PromptError holds a line for each thing that is wrong.
    """
    for node in prompt.values():
        _class_of(node, registry)
    problems = [line for node in prompt.values() for line in _node_problems(node, prompt, registry)]
    if problems:
        raise PromptError("\n".join(problems))
    order = _sort_nodes(prompt)
    needed = {node.id for node in order if getattr(registry[node.class_type], "OUTPUT_NODE", False)}
    if not needed:
        raise PromptError("the prompt has no output node, so there is nothing to do; add one, such as MaskLossReport")
    for node in reversed(order):
        if node.id in needed:
            needed.update(source for source, _ in node.links().values())
    return [node for node in order if node.id in needed]


def _class_of(node: PromptNode, registry: Registry) -> type:
    if node.class_type not in registry:
        near = suggestion(node.class_type, registry)
        raise PromptError(
            f"node {node.id}: {node.class_type!r} is not a node that runs without ComfyUI"
            f"{near or '; run this file in ComfyUI, or use the nodes of this pack'}"
        )
    return registry[node.class_type]


def _node_problems(node: PromptNode, prompt: Prompt, registry: Registry) -> list[str]:
    cls = registry[node.class_type]
    known = declared_inputs(cls)
    found = [unknown_input(cls, name) for name in node.inputs if name not in known]
    found += [f"the required input {name!r} is missing" for name in known if _is_missing(node, name, cls)]
    links, own = node.links(), checked_by_itself(cls)
    for name, value in node.inputs.items():
        if name not in known:
            continue
        if name in links:
            problem = _link_problem(links[name], known[name][0], prompt, registry)
        elif known[name][0] not in WIDGETS:
            problem = f'is {value!r}, expected a link to a {known[name][0]} output, such as ["3", 0]'
        else:
            problem = problem_with(known[name], value, in_range=name not in own)
        if problem is not None:
            found.append(f"input {name!r} {problem}")
    if not found:
        found = _own_check(node, cls)
    return [f"node {node.id} ({node.class_type}): {line}" for line in found]


def _is_missing(node: PromptNode, name: str, cls: type) -> bool:
    return name in required_inputs(cls) and name not in node.inputs


def _link_problem(link: Link, wanted: str, prompt: Prompt, registry: Registry) -> str | None:
    source = prompt.get(link[0])
    if source is None:
        return f"links to node {link[0]!r}, which is not in the prompt{suggestion(link[0], prompt)}"
    outputs = registry[source.class_type].RETURN_TYPES  # type: ignore[attr-defined]
    if not 0 <= link[1] < len(outputs):
        return f"links to output {link[1]} of node {source.id} ({source.class_type}), which has {len(outputs)}"
    given = outputs[link[1]]
    if "*" in (given, wanted) or set(given.split(",")) & set(wanted.split(",")):
        return None
    return f"takes {wanted}, and output {link[1]} of node {source.id} ({source.class_type}) gives {given}"


def _own_check(node: PromptNode, cls: type) -> list[str]:
    """What the class's VALIDATE_INPUTS says, called as ComfyUI calls it: constants as they are, links as None."""
    validate = getattr(cls, "VALIDATE_INPUTS", None)
    if validate is None:
        return []
    links = node.links()
    as_list = bool(getattr(cls, "INPUT_IS_LIST", False))
    given = {
        name: [value] if as_list else value
        for name in inspect.signature(validate).parameters
        if name in node.inputs
        for value in [None if name in links else node.inputs[name]]
    }
    verdict = validate(**given)
    return [] if verdict is True else [str(verdict)]


def _sort_nodes(prompt: Prompt) -> list[PromptNode]:
    graph = {node.id: [source for source, _ in node.links().values()] for node in prompt.values()}
    try:
        return [prompt[node_id] for node_id in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        raise PromptError(f"the links go in a circle ({circle}); take one of them out") from error


def _parse_value(setting: str, declaration: Declaration, text: str) -> object:
    kind = declaration[0]
    if kind not in WIDGETS:
        raise PromptError(f"--set {setting!r}: this input is a {kind} socket; only values can be set, not links")
    if kind == "BOOLEAN":
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise PromptError(f"--set {setting!r}: {text!r} is neither true nor false")
        return words[text.lower()]
    if kind in ("INT", "FLOAT"):
        try:
            return int(text) if kind == "INT" else float(text)
        except ValueError:
            raise PromptError(f"--set {setting!r}: {text!r} is no {kind}; give a number") from None
    return text


def _is_link(value: object) -> bool:
    # A bool is an int in Python; [“3”, true] is no link.
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], (str, int))
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    )
