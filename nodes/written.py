"""What nodes have written in this process: where it is gone or changed since, ComfyUI has to run them again.

ComfyUI keeps a node's result as long as its inputs are the same, although the files that it stands for may have been
deleted meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ..core.host import current_host
from ..core.paths import listing_digest


class Written:
    """Directories, or files, each with what `look` says of it after the last node that wrote there."""

    def __init__(self, look: Callable[[Path], object]) -> None:
        self._look = look
        self._left: dict[Path, object] = {}
        self._by_node: dict[str, set[Path]] = {}
        self._losses = Counter[str]()

    def note(self, path: Path) -> None:
        """For the end of a node's run that has written there."""
        running = current_host().running_node()
        if running is not None:
            self._left[path] = self._look(path)
            self._by_node.setdefault(running[0], set()).add(path)

    def is_changed(self) -> str:
        """IS_CHANGED of the node: another one each time that what it wrote is found not to be as it was."""
        running = current_host().running_node()
        if running is None:
            return ""
        paths = self._by_node.get(running[0], set())
        lost = {path for path in paths if self._look(path) != self._left[path]}
        paths -= lost
        self._losses[running[0]] += bool(lost)
        return str(self._losses[running[0]])


# What people change among masks is told by their ledgers (`edited`).
OUTPUTS = Written(Path.exists)
CACHES = Written(lambda directory: listing_digest([directory]))
