"""`maskloss submit`: one prompt file on a ComfyUI server, from queueing to its results."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import PromptError, ServerError
from ..core.host.comfy import WARNING_EVENT
from ..core.host.local import LineProgress
from ..nodes.checks import declared_inputs, suggestion, unknown_input
from .comfy_server import SECONDS_TO_ANSWER, ComfyServer, Message, MessageStream
from .prompt import Prompt, Registry, as_api, override, read_prompt

SECONDS_BETWEEN_LOOKS = 0.2
_ENDS = ("execution_success", "execution_error", "execution_interrupted")


def submit_file(file: Path, settings: Sequence[str], address: str) -> None:
    """Queue the prompt in `file` with the overrides `settings`, follow it, and say on stdout what came out.

    PromptError when the server refuses any node of it (what the server would run of the rest is taken back),
    ServerError when it cannot be reached or the run fails there. Ctrl-C stops the run on the server too.
    """
    prompt = read_prompt(file)
    server = ComfyServer(address)
    nodes = server.nodes()
    registry = _registry(nodes)
    _check_names(prompt, registry)
    override(prompt, settings, registry)
    with server.follow() as stream:
        prompt_id = _queue(server, prompt)
        try:
            _follow(server, stream, _Watch(prompt, prompt_id, nodes), prompt_id)
        except KeyboardInterrupt:
            server.remove(prompt_id)
            raise
    _tell(_result(server, prompt_id), prompt)


def _registry(nodes: Mapping[str, Mapping[str, Any]]) -> Registry:
    """The server's node classes in the form that the checks of a prompt take."""
    return {name: type(name, (_ServerNode,), {"inputs": info.get("input", {})}) for name, info in nodes.items()}


class _ServerNode:
    inputs: Mapping[str, Mapping[str, Any]] = {}

    @classmethod
    def INPUT_TYPES(cls) -> Mapping[str, Mapping[str, Any]]:
        return cls.inputs


def _check_names(prompt: Prompt, registry: Registry) -> None:
    """ComfyUI drops an input whose name it does not know without a word; here it is an error."""
    problems: list[str] = []
    for node in prompt.values():
        cls = registry.get(node.class_type)
        if cls is None:
            near = suggestion(node.class_type, registry)
            problems.append(f"node {node.id}: the server has no node {node.class_type!r}{near or '; install its pack'}")
            continue
        known = declared_inputs(cls)
        # "name.part" belongs to an input that grows; the server itself knows its parts.
        strange = [name for name in node.inputs if name not in known and name.partition(".")[0] not in known]
        problems += [f"node {node.id} ({node.class_type}): {unknown_input(cls, name)}" for name in strange]
    if problems:
        raise PromptError("\n".join(problems))


def _queue(server: ComfyServer, prompt: Prompt) -> str:
    answer = server.queue(as_api(prompt))
    refused = answer.get("node_errors") or {}
    prompt_id = answer.get("prompt_id")
    if prompt_id is not None and not refused:
        return str(prompt_id)
    if prompt_id is not None:
        server.remove(str(prompt_id))
    lines = [
        f"node {node_id} ({error.get('class_type', '?')}): {one.get('message', '')}: {one.get('details', '')}".rstrip(
            ": "
        )
        for node_id, error in refused.items()
        for one in error.get("errors", [])
    ]
    general = answer.get("error")
    if general and not lines:
        lines = [": ".join(filter(None, (general.get("message"), general.get("details")))) if isinstance(general, dict)
                 else str(general)]  # fmt: skip
    raise PromptError("ComfyUI refuses this prompt:\n" + "\n".join(lines or [str(answer)]))


def _follow(server: ComfyServer, stream: MessageStream, watch: _Watch, prompt_id: str) -> None:
    sys.stderr.write(f"  queued as {prompt_id} on {server.address}\n")
    for message in stream.messages():
        try:
            if message is not None and watch.is_end(message):
                return
            if message is None and server.result(prompt_id) is not None:
                return
            dropped = message is None and not server.is_waiting(prompt_id) and server.result(prompt_id) is None
        except ServerError as silent:
            raise ServerError(f"{watch.running()} {silent}") from silent
        if dropped:
            raise ServerError(
                f"{server.address} has dropped the prompt {prompt_id}: it was taken out of the queue, or the server "
                f"was started anew. {watch.running()}"
            )


def _result(server: ComfyServer, prompt_id: str) -> Mapping[str, Any]:
    """What the history holds; ComfyUI says that a prompt has ended a moment before it writes that down."""
    deadline = time.monotonic() + SECONDS_TO_ANSWER
    while time.monotonic() < deadline:
        result = server.result(prompt_id)
        if result is not None:
            return result
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise ServerError(f"{server.address} no longer knows the prompt {prompt_id}; was its history cleared?")


class _Watch:
    """Turns messages into lines on stderr, and knows what ran last."""

    def __init__(self, prompt: Prompt, prompt_id: str, nodes: Mapping[str, Mapping[str, Any]]) -> None:
        self._titles = {node.id: nodes.get(node.class_type, {}).get("display_name") for node in prompt.values()}
        self._labels = {node.id: node.label for node in prompt.values()}
        self._prompt_id = prompt_id
        self._lines: dict[str, LineProgress] = {}
        self._node: str | None = None
        self._done = ""
        self._told = ""

    def is_end(self, message: Message) -> bool:
        data = message.data
        if message.kind == "progress_text":
            self._say(str(data["node"]), str(data["text"]))
            if str(data["node"]) == self._node:
                self._told = str(data["text"]).partition("\n")[0]
        if data.get("prompt_id") != self._prompt_id:
            return False
        if message.kind == "executing" and data.get("node") is not None:
            self._node, self._done, self._told = str(data["node"]), "", ""
            self._say(self._node, "runs")
        elif message.kind == WARNING_EVENT:
            self._say(str(data["node"]), f"WARNING: {data['text']}")
        elif message.kind == "progress":
            line = self._lines.setdefault(str(data["node"]), LineProgress(self._label(str(data["node"]))))
            line.update(int(data["value"]), int(data["max"]))
            self._done = f"{data['value']}/{data['max']}"
        return message.kind in _ENDS

    def running(self) -> str:
        """What ran when the server was last heard of, in a sentence."""
        if self._node is None:
            return f"The prompt {self._prompt_id} had not begun when the server was last heard of."
        title = self._titles.get(self._node)
        node = self._label(self._node) + (f" ({title})" if title else "")
        told = self._told or self._done
        at = f" at {told}" if told else ""
        return (
            f"Node {node} was running{at} when the server was last heard of; start the server again and submit the "
            "same prompt: what it saved is gone on from."
        )

    def _say(self, node_id: str, text: str) -> None:
        for line in text.splitlines():
            sys.stderr.write(f"  [{self._label(node_id)}] {line}\n")

    def _label(self, node_id: str) -> str:
        return self._labels.get(node_id, node_id)


def _tell(result: Mapping[str, Any], prompt: Prompt) -> None:
    """Summaries and files on stdout; ServerError with the node's own sentence where the run did not succeed."""
    for node_id, outputs in result.get("outputs", {}).items():
        for line in outputs.get("summary", []):
            print(line)
        label = prompt[node_id].label if node_id in prompt else node_id
        for text in outputs.get("warnings", []):
            print(f"WARNING [{label}]: {text}")
        for fact in outputs.get("maskloss", []):
            print(f"{label}: " + ", ".join(f"{name} {value}" for name, value in fact.items()))
        for file in outputs.get("images", []):
            if file.get("type") == "output":
                print(f"{label}: " + "/".join(filter(None, ("output", file.get("subfolder"), file.get("filename")))))
    status = result.get("status") or {}
    for kind, data in status.get("messages", []):
        if kind == "execution_error":
            node = prompt.get(str(data.get("node_id")))
            label = node.label if node is not None else f"{data.get('node_id')} {data.get('node_type')}"
            raise ServerError(f"node {label}: {str(data.get('exception_message', '')).strip()}")
        if kind == "execution_interrupted":
            raise ServerError("The run was interrupted on the server; queue it again to go on where it stopped.")
    if status.get("status_str") != "success":
        raise ServerError(f"The run ended with {status.get('status_str')!r} and no reason; see the server's log.")
