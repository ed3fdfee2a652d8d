"""How a training run is watched and stopped."""

from __future__ import annotations

from typing import Protocol

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
