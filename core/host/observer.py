"""Watching a training run through the host."""

from __future__ import annotations

from ..train.config import LossPoint
from .host import Host


class HostObserver:
    """A TrainObserver: progress with the loss inside and outside the mask, and every text said to the user.

    `said` keeps the texts in order. The host's interrupt comes through `check` and `step`.
    """

    def __init__(self, host: Host, total_steps: int) -> None:
        self.said: list[str] = []
        self._host = host
        self._progress = host.progress()
        self._at = (0, total_steps, "")

    def say(self, text: str) -> None:
        self.said.append(text)
        self._host.say(text)

    def check(self) -> None:
        self._progress.update(*self._at)

    def step(self, point: LossPoint, total_steps: int) -> None:
        parts = [f"loss {point.loss:.4f}"]
        parts += [
            f"{name} {value:.4f}"
            for name, value in (("inside", point.inside), ("outside", point.outside))
            if value is not None
        ]
        self._at = (point.step, total_steps, ", ".join(parts))
        self._progress.update(*self._at)
