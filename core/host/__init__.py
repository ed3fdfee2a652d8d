"""The program that runs the nodes, ComfyUI or none: its folders, its progress, its previews, what was warned of."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from .comfy import ComfyHost, serve_training_runs
from .host import Host
from .local import LocalHost

__all__ = ["ComfyHost", "Host", "LocalHost", "current_host", "serve_routes", "use_host"]

_chosen: ContextVar[Host | None] = ContextVar("maskloss_host", default=None)


def current_host() -> Host:
    """The host chosen by `use_host`; else ComfyUI when it is running in this process; else the working directory."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    return ComfyHost() if _inside_comfyui() else LocalHost()


def serve_routes() -> None:
    """What the graph editor asks of this pack, where ComfyUI is running in this process; else nothing."""
    if _inside_comfyui():
        serve_training_runs()


def _inside_comfyui() -> bool:
    return all(name in sys.modules for name in ("comfy", "folder_paths", "server"))


@contextmanager
def use_host(host: Host) -> Generator[Host, None, None]:
    """Make `host` the current one inside the block."""
    token = _chosen.set(host)
    try:
        yield host
    finally:
        _chosen.reset(token)
