"""The program that runs the nodes: the only room that imports ComfyUI's modules."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from .comfy import ComfyHost
from .host import Host
from .local import LocalHost

__all__ = ["ComfyHost", "Host", "LocalHost", "current_host", "use_host"]

_chosen: ContextVar[Host | None] = ContextVar("maskloss_host", default=None)


def current_host() -> Host:
    """The host chosen by `use_host`; else ComfyUI when it is running in this process; else the working directory."""
    chosen = _chosen.get()
    if chosen is not None:
        return chosen
    if all(name in sys.modules for name in ("comfy", "folder_paths", "server")):
        return ComfyHost()
    return LocalHost()


@contextmanager
def use_host(host: Host) -> Generator[Host, None, None]:
    """Make `host` the current one inside the block."""
    token = _chosen.set(host)
    try:
        yield host
    finally:
        _chosen.reset(token)
