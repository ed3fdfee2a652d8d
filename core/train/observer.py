"""How a training run is watched and stopped."""

from __future__ import annotations

from typing import Protocol

from ..progress import Progress
from .config import LossPoint


class TrainObserver(Protocol):
    """Receives everything that a run says. Each method may raise the host's interrupt (a BaseException):
    the run then saves its state and a loadable LoRA, and lets the exception through."""

    def say(self, text: str) -> None:
        """A banner, a warning or a note, one or more lines."""
        ...

    def check(self) -> None:
        """Called before every micro-batch, only so that an interrupt comes soon."""
        ...

    def step(self, point: LossPoint, total_steps: int) -> None:
        """One optimizer step is done and logged."""
        ...


class SilentObserver:
    """Nobody watches."""

    def say(self, text: str) -> None:
        return None

    def check(self) -> None:
        return None

    def step(self, point: LossPoint, total_steps: int) -> None:
        return None


class ProgressObserver:
    """Passes a run on to a `Progress`; `said` keeps every text in order."""

    def __init__(self, progress: Progress) -> None:
        self.said: list[str] = []
        self._progress = progress
        self._done = 0
        self._total = 1

    def say(self, text: str) -> None:
        self.said.append(text)
        self._progress.update(self._done, self._total, text)

    def check(self) -> None:
        self._progress.update(self._done, self._total)

    def step(self, point: LossPoint, total_steps: int) -> None:
        self._done, self._total = point.step, total_steps
        self._progress.update(point.step, total_steps, f"loss {point.loss:.4f}")
