"""Makes ComfyUI importable outside of it: for a memory plan, and for a MODEL in a process of its own."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import PathError

VARIABLE = "COMFYUI_PATH"


def comfyui_version() -> str:
    """As ComfyUI says it; "unknown" where it says none."""
    if importlib.util.find_spec("comfyui_version") is None:
        return "unknown"
    return str(importlib.import_module("comfyui_version").__version__)


def require_comfyui(gpu: bool = False, options: Sequence[str] = ()) -> None:
    """Import ComfyUI from where it is: inside of it, from COMFYUI_PATH, or from the folder whose `custom_nodes` this
    pack lies in. Outside of it ComfyUI uses no GPU but with `gpu`, where there is one, and has the `options` of its
    command line. PathError where there is no ComfyUI, or where a package that it needs is missing."""
    if importlib.util.find_spec("comfy") is None:
        # Not resolved, because packs may be links.
        named = [Path(os.environ[VARIABLE])] if os.environ.get(VARIABLE) else []
        places = [*named, Path(__file__).absolute().parents[4]]
        found = next((place for place in places if (place / "comfy/supported_models.py").is_file()), None)
        if found is None:
            raise PathError(
                f"This needs ComfyUI's own classes, and there is no ComfyUI in {places[0]}; set "
                f"{VARIABLE} to its folder, and run this with the Python that runs ComfyUI."
            )
        sys.path.append(str(found))
        # Before anything asks for a device.
        given = _with_options(options)
        given.cpu = given.cpu or not (gpu and torch.cuda.is_available())
    try:
        importlib.import_module("comfy.supported_models")
    except ImportError as problem:
        raise PathError(
            f"ComfyUI cannot be imported ({problem}); run this with the Python that runs ComfyUI."
        ) from problem


def _with_options(options: Sequence[str]) -> Any:
    """ComfyUI's settings, read from `options` in place of this process's own, which ComfyUI does not know."""
    importlib.import_module("comfy.options").enable_args_parsing()
    own, sys.argv = sys.argv, [sys.argv[0], *options]
    try:
        return importlib.import_module("comfy.cli_args").args
    finally:
        sys.argv = own
