"""Progress of long work, and its interruption."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

import numpy as np


class Progress(Protocol):
    """Receives the advance of one piece of work.

    `update` may raise the host's interrupt (a BaseException such as KeyboardInterrupt or ComfyUI's
    InterruptProcessingException); whoever calls it leaves nothing half-written behind.
    """

    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        """`done` of `total` units are finished; `preview_HWC` is a uint8 RGB picture to show meanwhile."""
        ...


class Silent:
    """A Progress for callers that do not watch."""

    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        return None


SILENT = Silent()


class WorkStopped(BaseException):
    """Ends work in another thread whose result is no longer wanted; caught by whoever stopped it."""


_check: ContextVar[Callable[[], None] | None] = ContextVar("maskloss_check", default=None)


@contextmanager
def set_interrupt_check(check: Callable[[], None]) -> Generator[None]:
    """Inside the block `check_interrupted` calls `check`, which raises where the work is to stop.

    Threads have it when they are given this one's context (`contextvars.copy_context`).
    """
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)


def check_interrupted() -> None:
    """Stop here if the current work is to stop: raises the host's interrupt, or WorkStopped in another thread. Called
    between the stages of one piece of work, so that it ends within a second or so."""
    check = _check.get()
    if check is not None:
        check()
