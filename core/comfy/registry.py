"""ComfyUI's own nodes without its server, for prompts that open a model in a process of their own.

Written against ComfyUI 0.33: `nodes.NODE_CLASS_MAPPINGS`, `nodes.init_builtin_extra_nodes`, and the two kinds of node
classes, of which the newer ones (`comfy_api`) have class methods alone.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .find import require_comfyui


def comfyui_nodes(base_directory: Path | None = None, like: Mapping[str, Any] | None = None) -> dict[str, type]:
    """ComfyUI's own nodes by class; not those of custom nodes.

    base_directory: where `models` lies, as ComfyUI's option of that name has it. like: a running ComfyUI, whose options
    and folders of models count, as `core.host.hand_over.OwnPrompt` describes it. PathError as `require_comfyui`.
    """
    require_comfyui(gpu=True, options=like["options"] if like else ())
    folder = Path(str(importlib.import_module("comfy.supported_models").__file__)).parents[1]
    # First, because the working directory may have a folder of that name too, as this pack's own has.
    sys.path.insert(0, str(folder))
    if base_directory is not None:
        importlib.import_module("comfy.cli_args").args.base_directory = str(base_directory.absolute())
    nodes = importlib.import_module("nodes")
    paths = folder / "extra_model_paths.yaml"
    if like:
        _use_folders(like)
    elif paths.is_file():
        importlib.import_module("utils.extra_config").load_extra_path_config(str(paths))
    asyncio.run(nodes.init_builtin_extra_nodes())
    return {name: plain_node(kind) for name, kind in nodes.NODE_CLASS_MAPPINGS.items()}


def _use_folders(like: Mapping[str, Any]) -> None:
    paths: Any = importlib.import_module("folder_paths")
    paths.models_dir = like["models"]
    for kind, (folders, endings) in like["model_folders"].items():
        paths.folder_names_and_paths[kind] = (list(folders), set(endings))


def plain_node(kind: Any) -> type:
    """A node class of either kind as one of the older kind, with combos in their newer form."""

    def inputs() -> dict[str, Any]:
        groups: Mapping[str, Mapping[str, Any]] = kind.INPUT_TYPES()
        return {group: {name: _combo(given) for name, given in each.items()} for group, each in groups.items()}

    body: dict[str, Any] = {
        "INPUT_TYPES": staticmethod(inputs),
        "RETURN_TYPES": tuple(map(str, kind.RETURN_TYPES)),
        "OUTPUT_NODE": bool(getattr(kind, "OUTPUT_NODE", False)),
        "INPUT_IS_LIST": bool(getattr(kind, "INPUT_IS_LIST", False)),
        "OUTPUT_IS_LIST": tuple(getattr(kind, "OUTPUT_IS_LIST", None) or (False,) * len(kind.RETURN_TYPES)),
        "FUNCTION": "run",
        "run": _newer(kind) if hasattr(kind, "PREPARE_CLASS_CLONE") else _older(kind),
    }
    return type(kind.__name__, (), body)


def _older(kind: Any) -> Any:
    def run(_self: Any, **given: Any) -> Any:
        return getattr(kind(), kind.FUNCTION)(**given)

    return run


def _newer(kind: Any) -> Any:
    def run(_self: Any, **given: Any) -> Any:
        # None: the node gets nothing that is hidden, such as the prompt.
        clone = kind.PREPARE_CLASS_CLONE(None)
        answer = getattr(clone, kind.FUNCTION)(**given)
        answer = asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
        return {"result": tuple(answer.args), "ui": {}}

    return run


def _combo(declaration: Any) -> tuple[Any, ...]:
    kind, options = declaration[0], declaration[1] if len(declaration) > 1 else {}
    if isinstance(kind, (list, tuple)):
        return "COMBO", {**options, "options": list(kind)}
    return str(kind), options
