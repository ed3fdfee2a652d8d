"""The host inside ComfyUI. Everything here is ComfyUI's and is imported when it is used."""

from __future__ import annotations

import hashlib
import importlib
import io
import ipaddress
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..dataset.shard import Shard
from ..files import write_bytes
from ..paths import Folders, roots_from_environment
from ..progress import Progress
from ..spread import Spread
from ..train.observer import TrainObserver
from ..train.ranks import ALONE, Ranks
from .given import GIVEN, ApiPrompt, GivenWarning
from .hand_over import OwnPrompt
from .host import ModelKind, once, own_model_folders
from .live import KEPT_RUNS, ROUTE
from .results import KEPT_RESULTS
from .serving import serve_kept, serve_viewer

WARNING_EVENT = "maskloss.warning"
PREVIEW_PX = 512
SECONDS_BETWEEN_TEXTS = 0.25
PREVIEW_FOLDER = "maskloss"


class ComfyHost:
    """ComfyUI's folders, progress bar, interrupt, previews, and the prompt that is running."""

    def folders(self) -> Folders:
        folder_paths = _comfy("folder_paths")
        return Folders(
            input=Path(folder_paths.get_input_directory()).absolute(),
            output=Path(folder_paths.get_output_directory()).absolute(),
            roots=roots_from_environment(),
            absolute_allowed=listens_on_loopback_only(str(_comfy("comfy.cli_args").args.listen)),
        )

    def model_folders(self, kind: ModelKind) -> tuple[Path, ...]:
        folder_paths = _comfy("folder_paths")
        standard = [Path(folder_paths.models_dir) / name for name in kind.folder_names]
        registered = [folder for name in kind.folder_names for folder in _list_registered(folder_paths, name)]
        return once([*registered, *standard, *own_model_folders(kind)])

    def shard(self) -> Shard | None:
        return None

    def spread(self) -> Spread | None:
        return None

    def ranks(self) -> Ranks:
        return ALONE

    def own_prompt(self) -> OwnPrompt | None:
        running = _running()
        if running is None:
            return None
        prompt, _, node = running
        classes = _comfy("nodes").NODE_CLASS_MAPPINGS
        elsewhere = (name for name, each in prompt.items() if _is_of_another_pack(classes.get(each["class_type"])))
        return OwnPrompt(prompt, node, frozenset(elsewhere), _place())

    def observers(self) -> tuple[TrainObserver, ...]:
        return ()

    def progress(self) -> Progress:
        context = _executing_context()
        return ComfyProgress(None if context is None else str(context.node_id))

    def show(self, pictures: Sequence[np.ndarray], name: str) -> list[dict[str, str]]:
        directory = Path(_comfy("folder_paths").get_temp_directory()) / PREVIEW_FOLDER
        shown: list[dict[str, str]] = []
        for picture in pictures:
            stream = io.BytesIO()
            Image.fromarray(picture).save(stream, "PNG", compress_level=1)
            # Named by content: a result that ComfyUI replays from its cache still finds its own picture.
            filename = f"{name}_{hashlib.sha256(stream.getvalue()).hexdigest()[:16]}.png"
            write_bytes(directory / filename, stream.getvalue())
            shown.append({"filename": filename, "subfolder": PREVIEW_FOLDER, "type": "temp"})
        return shown

    def given_inputs(self) -> frozenset[str] | None:
        context = _executing_context()
        # A node that another node expanded into is not in the prompt.
        node = None if context is None else (_running_prompt(context.prompt_id) or {}).get(context.node_id)
        return None if node is None else frozenset(node["inputs"])

    def running_classes(self) -> frozenset[str] | None:
        context = _executing_context()
        prompt = None if context is None else _running_prompt(context.prompt_id)
        return None if prompt is None else frozenset(node["class_type"] for node in prompt.values())

    def running_node(self) -> tuple[str, str] | None:
        context = _executing_context()
        return None if context is None else (str(context.node_id), str(context.prompt_id))

    def send(self, event: str, content: Mapping[str, Any]) -> None:
        server = _server()
        if server is not None:
            server.send_sync(event, dict(content))

    def is_working(self) -> bool:
        server = _server()
        return server is not None and bool(server.prompt_queue.currently_running)

    def running_inputs(self, node_class: str) -> tuple[Mapping[str, Any], ...]:
        context = _executing_context()
        prompt = (None if context is None else _running_prompt(context.prompt_id)) or {}
        return tuple(node["inputs"] for node in prompt.values() if node["class_type"] == node_class)

    def say(self, text: str) -> None:
        logging.getLogger("maskloss").info(text)
        context = _executing_context()
        if context is not None:
            _tell(text, str(context.node_id))

    def warn(self, text: str) -> None:
        logging.getLogger("maskloss").warning(text)
        running = self.running_node()
        if running is not None:
            self.send(WARNING_EVENT, {"node": running[0], "prompt": running[1], "text": text})

    def keep_warnings(self, texts: Sequence[str]) -> None:
        running = _running()
        if running is not None:
            GIVEN.keep(*running, texts)

    def keep_result(self, shown: Mapping[str, list[Any]]) -> None:
        running = self.running_node()
        workflow = None if running is None else _running_workflow(running[1])
        if running is not None and workflow is not None:
            node = (_running_prompt(running[1]) or {}).get(running[0], {})
            KEPT_RESULTS.keep(workflow, running[1], running[0], str(node.get("class_type", "")), shown)

    def warnings_before(self) -> list[GivenWarning]:
        running = _running()
        return [] if running is None else GIVEN.before(running[0], running[2])


class ComfyProgress:
    """ComfyUI's progress bar with a preview, and a text under the node."""

    def __init__(self, node_id: str | None) -> None:
        self._node_id = node_id
        self._bar: Any = None
        self._told_at = -SECONDS_BETWEEN_TEXTS
        self._told = ""

    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        _comfy("comfy.model_management").throw_exception_if_processing_interrupted()
        if self._bar is None:
            self._bar = _comfy("comfy.utils").ProgressBar(total, node_id=self._node_id)
        preview = None if preview_HWC is None else ("JPEG", Image.fromarray(preview_HWC), PREVIEW_PX)
        self._bar.update_absolute(done, total, preview)
        line, now = f"{done}/{total} {text}".rstrip(), time.monotonic()
        due = done >= total or (text and now - self._told_at >= SECONDS_BETWEEN_TEXTS)
        if self._node_id is not None and due and line != self._told:
            _tell(line, self._node_id)
            self._told, self._told_at = line, now


def serve_training_runs() -> None:
    """Answer GET `ROUTE` with the history of every training node, and what the viewer asks; to be called while ComfyUI
    imports its packs."""
    server = _server()
    if server is None or any(route.path == ROUTE for route in server.routes):
        return
    web = _comfy("aiohttp.web")

    async def answer(_request: object) -> Any:
        return web.json_response(KEPT_RUNS.whole())

    server.routes.get(ROUTE)(answer)
    serve_viewer(server, server.send_sync)
    serve_kept(server)


def _tell(text: str, node_id: str) -> None:
    """Show text under a node; the next text replaces it."""
    server = _server()
    if server is not None:
        server.send_progress_text(text, node_id)


def _list_registered(folder_paths: Any, name: str) -> list[Path]:
    """The folders that other packs or extra_model_paths.yaml gave ComfyUI for `name`.

    What we call a/b may be known as a_b, or lie as b in what is known as a.
    """
    head, _, tail = name.partition("/")
    places = [(head, "")] if not tail else [(f"{head}_{tail}", ""), (head, tail)]
    known = folder_paths.folder_names_and_paths
    return [
        Path(folder) / inner for key, inner in places if key in known for folder in folder_paths.get_folder_paths(key)
    ]


def listens_on_loopback_only(listen: str) -> bool:
    """Whether each address of ComfyUI's comma-separated --listen is a loopback one."""
    return all(_is_loopback(address.strip()) for address in listen.split(","))


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False


def _place() -> dict[str, Any]:
    """`OwnPrompt.comfyui` of this program."""
    paths = _comfy("folder_paths")
    folders = {kind: [list(each), list(endings)] for kind, (each, endings) in paths.folder_names_and_paths.items()}
    folder = str(Path(paths.__file__).absolute().parent)
    return {"folder": folder, "options": sys.argv[1:], "models": paths.models_dir, "model_folders": folders}


def _is_of_another_pack(kind: Any) -> bool:
    own_pack = __name__.removesuffix(".core.host.comfy")
    is_in_a_pack = str(getattr(kind, "RELATIVE_PYTHON_MODULE", "")).startswith("custom_nodes")
    return is_in_a_pack and not kind.__module__.startswith(f"{own_pack}.")


def _comfy(module: str) -> Any:
    return importlib.import_module(module)


def _server() -> Any:
    return getattr(_comfy("server").PromptServer, "instance", None)


def _executing_context() -> Any:
    return _comfy("comfy_execution.utils").get_executing_context()


def _running() -> tuple[ApiPrompt, str, str] | None:
    """(prompt, its id, node id) of the running node; None also for a node that another one expanded into."""
    context = _executing_context()
    if context is None:
        return None
    prompt = _running_prompt(context.prompt_id)
    if prompt is None or context.node_id not in prompt:
        return None
    return prompt, str(context.prompt_id), str(context.node_id)


def _running_prompt(prompt_id: str) -> dict[str, Any] | None:
    item = _running_item(prompt_id)
    return None if item is None else item[2]


def _running_workflow(prompt_id: str) -> str | None:
    """The id that the graph editor gave the workflow of a prompt; None for prompts that come without one."""
    item: Any = _running_item(prompt_id)
    try:
        return str(item[3]["extra_pnginfo"]["workflow"]["id"])
    except (TypeError, KeyError, IndexError):
        return None


def _running_item(prompt_id: str) -> Any:
    server = _server()
    items = () if server is None else tuple(server.prompt_queue.currently_running.values())
    return next((item for item in items if item[1] == prompt_id), None)
