"""One of several processes that train together, without ComfyUI: rank 0 is a host as ever, the others are quiet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..progress import Progress
from ..train.observer import TrainObserver
from ..train.ranks import Ranks
from .comfy import ComfyHost
from .host import ModelKind
from .local import LocalHost
from .relay import Relay


class RankHost(LocalHost):
    """The host of `ranks`' process. The others wait until rank 0 comes to the training node, so that whatever leads to
    it is made once and found by them; `tells` is what they are told then.

    With `relay` rank 0 tells a program that waits of its training, and stops where `is_told_to_stop`, as by Ctrl-C.
    """

    def __init__(
        self,
        ranks: Ranks,
        input_directory: Path | None = None,
        output_directory: Path | None = None,
        relay: Relay | None = None,
        is_told_to_stop: Callable[[], bool] = lambda: False,
        tells: Callable[[], Any] = lambda: None,
    ) -> None:
        super().__init__(input_directory, output_directory)
        self._ranks = ranks
        self._started = False
        self._relay = relay if ranks.leads else None
        self._is_told_to_stop = is_told_to_stop
        self._tells = tells

    def wait_for_first(self) -> Any:
        """What rank 0 `tells`; to be called by the others before they run anything. OtherRankError when it does not
        come so far."""
        return self._ranks.from_first(self._tells)

    def stop_others(self, problem: BaseException) -> None:
        """To be called in rank 0 when it does not come to the training node."""
        if self._ranks.leads and not self._started:
            self._started = True
            self._ranks.stop(problem)

    def begin_node(self, node: str, label: str) -> None:
        self._stop_where_told()
        super().begin_node(node, label)

    def model_folders(self, kind: ModelKind) -> tuple[Path, ...]:
        # Where ComfyUI's own nodes run here, its folders are known.
        return ComfyHost().model_folders(kind) if "folder_paths" in sys.modules else super().model_folders(kind)

    def ranks(self) -> Ranks:
        if self._ranks.leads and not self._started:
            self._started = True
            self._ranks.from_first(self._tells)
        return self._ranks

    def progress(self) -> Progress:
        return _Stoppable(super().progress(), self._stop_where_told) if self._ranks.leads else _NoProgress()

    def observers(self) -> tuple[TrainObserver, ...]:
        return () if self._relay is None else (self._relay,)

    def show(self, pictures: Sequence[np.ndarray], name: str) -> list[dict[str, str]]:
        # Whoever waits has them from the relay.
        return super().show(pictures, name) if self._ranks.leads and self._relay is None else []

    def say(self, text: str) -> None:
        if self._ranks.leads:
            super().say(text)

    def warn(self, text: str) -> None:
        super().warn(text)
        # What leads to the training has run where it is waited for, and was warned of there.
        if self._relay is not None and self._started:
            self._relay.warn(text)

    def _stop_where_told(self) -> None:
        if self._is_told_to_stop():
            raise KeyboardInterrupt


class _NoProgress:
    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        return None


class _Stoppable:
    def __init__(self, inner: Progress, stop: Callable[[], None]) -> None:
        self._inner, self._stop = inner, stop

    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        self._stop()
        self._inner.update(done, total, text, preview_HWC)
