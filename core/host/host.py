"""What a node needs of the program that runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..paths import Folders
from ..progress import Progress


class Host(Protocol):
    """ComfyUI, or nothing but a working directory."""

    def folders(self) -> Folders:
        """The folders that are open to this prompt."""
        ...

    def progress(self) -> Progress:
        """A new progress for the node that is running; its `update` raises when the user interrupts."""
        ...

    def show(self, pictures: Sequence[np.ndarray], name: str) -> list[dict[str, str]]:
        """Keep uint8 RGB or RGBA pictures where the front end finds them.

        Returns one {"filename", "subfolder", "type"} per picture, as ComfyUI's `ui` results hold them.
        """
        ...

    def given_inputs(self) -> frozenset[str] | None:
        """The input names that the prompt gives to the running node; None where that cannot be known."""
        ...

    def running_classes(self) -> frozenset[str] | None:
        """The classes of all nodes in the running prompt; None where that cannot be known."""
        ...

    def say(self, text: str) -> None:
        """Tell the user something that stays: a banner or a warning, one or more lines."""
        ...
