"""How a training run is watched and stopped."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..scores.checkpoint_scores import CheckpointScores
from .metrics import History, LossPoint


class TrainObserver(Protocol):
    """Receives everything that a run says. Each method may raise the host's interrupt (a BaseException):
    the run then saves its state and a loadable LoRA, and lets the exception through."""

    def say(self, text: str) -> None:
        """A banner, a warning or a note, one or more lines."""
        ...

    def check(self) -> None:
        """Called before every micro-batch, only so that an interrupt comes soon."""
        ...

    def begin(self, history: History) -> None:
        """Called once when it is known what was trained before: nothing, or the history of a run that goes on."""
        ...

    def step(self, point: LossPoint, total_steps: int) -> None:
        """One optimizer step is done and logged."""
        ...

    def on_validation(self, step: int, value: float) -> None:
        """The evaluation after `step` optimizer steps, told before that step's point."""
        ...

    def on_sample(self, step: int, picture: np.ndarray) -> None:
        """The sample picture after `step` optimizer steps, uint8 RGB; its file is written."""
        ...

    def on_scores(self, scores: CheckpointScores) -> None:
        """The scores of the sample pictures of a step, told after them."""
        ...


class SilentObserver:
    """Nobody watches."""

    def say(self, text: str) -> None:
        return None

    def check(self) -> None:
        return None

    def begin(self, history: History) -> None:
        return None

    def step(self, point: LossPoint, total_steps: int) -> None:
        return None

    def on_validation(self, step: int, value: float) -> None:
        return None

    def on_sample(self, step: int, picture: np.ndarray) -> None:
        return None

    def on_scores(self, scores: CheckpointScores) -> None:
        return None
