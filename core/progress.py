"""How long work says how far it is, and how it is told to stop."""

from __future__ import annotations

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
