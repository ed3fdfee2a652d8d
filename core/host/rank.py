"""One of several processes that train together, without ComfyUI: rank 0 is a host as ever, the others are quiet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..progress import Progress
from ..train.ranks import Ranks
from .local import LocalHost


class RankHost(LocalHost):
    """The host of `ranks`' process. The others wait until rank 0 comes to the training node, so that whatever leads to
    it is made once and found by them."""

    def __init__(self, ranks: Ranks, input_directory: Path | None = None, output_directory: Path | None = None) -> None:
        super().__init__(input_directory, output_directory)
        self._ranks = ranks
        self._started = False

    def wait_for_first(self) -> None:
        """To be called by the others before they run anything. OtherRankError when rank 0 does not come so far."""
        self._ranks.from_first(lambda: None)

    def stop_others(self, problem: BaseException) -> None:
        """To be called in rank 0 when it does not come to the training node."""
        if self._ranks.leads and not self._started:
            self._started = True
            self._ranks.stop(problem)

    def ranks(self) -> Ranks:
        if self._ranks.leads and not self._started:
            self._started = True
            self._ranks.from_first(lambda: None)
        return self._ranks

    def progress(self) -> Progress:
        return super().progress() if self._ranks.leads else _NoProgress()

    def show(self, pictures: Sequence[np.ndarray], name: str) -> list[dict[str, str]]:
        return super().show(pictures, name) if self._ranks.leads else []

    def say(self, text: str) -> None:
        if self._ranks.leads:
            super().say(text)


class _NoProgress:
    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        return None
