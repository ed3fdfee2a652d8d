"""Watching a training run through the host."""

from __future__ import annotations

import time
from types import TracebackType

import numpy as np

from ..plan.duration import StepTimes
from ..scores.checkpoint_scores import CheckpointScores
from ..train.metrics import STEP_METRICS, History, LossPoint
from ..warning import given_warnings
from .host import Host
from .live import EVENT, KEPT_RUNS, LiveRun, RunState

SECONDS_BETWEEN_NEWS = 0.25


class HostObserver:
    """A TrainObserver: progress with the loss inside and outside the mask, every text said to the user, and the
    history for the graph editor's panel. To be used in a `with` block, whose end says how the run ended.

    `said` keeps the texts in order, `shown` the newest sample picture, in a list as `ui` results hold it. The host's
    interrupt comes through `check`, `step` and `sampled`.
    """

    def __init__(self, host: Host, total_steps: int, name: str) -> None:
        """`name` is the run's output name, as the user gave it."""
        self.said: list[str] = []
        self.shown: list[dict[str, str]] = []
        self._host = host
        self._progress = host.progress()
        self._at = (0, total_steps, "")
        self._times = StepTimes()
        node = host.running_node()
        self._live = None if node is None else LiveRun(*node, name, total_steps)
        self._told_at = 0.0
        self._others = host.observers()

    def __enter__(self) -> HostObserver:
        if self._live:
            KEPT_RUNS.keep(self._live)
        self._tell()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            state = RunState.FINISHED
        else:
            # ComfyUI's interrupt and Ctrl-C are no Exception.
            state = RunState.FAILED if issubclass(kind, Exception) else RunState.INTERRUPTED
        if self._live:
            self._live.end(state)
        self._tell()

    def say(self, text: str) -> None:
        self.said.append(text)
        self._host.say(text)
        for other in self._others:
            other.say(text)

    @property
    def remarks(self) -> list[str]:
        """What was said but the banner of several lines, which repeats settings that are seen in the graph."""
        return [text for text in self.said if "\n" not in text]

    def check(self) -> None:
        self._progress.update(*self._at)

    def begin(self, history: History) -> None:
        for other in self._others:
            other.begin(history)
        if self._live:
            self._live.begin(history)
        self._tell()

    def on_validation(self, step: int, value: float) -> None:
        for other in self._others:
            other.on_validation(step, value)
        if self._live:
            self._live.on_validation(step, value)

    def on_sample(self, step: int, picture: np.ndarray) -> None:
        for other in self._others:
            other.on_sample(step, picture)
        self.shown = self._host.show([picture], "sample")
        if self._live:
            self._live.on_sample(step, self.shown[0])
        self._tell()
        self._progress.update(*self._at, picture)

    def on_scores(self, scores: CheckpointScores) -> None:
        for other in self._others:
            other.on_scores(scores)
        if self._live:
            self._live.on_scores(scores)
        self._tell()

    def step(self, point: LossPoint, total_steps: int) -> None:
        for other in self._others:
            other.step(point, total_steps)
        known = [(metric.name, getattr(point, metric.name)) for metric in STEP_METRICS if metric.told]
        parts = [f"{name} {value:.4f}" for name, value in known if value is not None]
        self._times.step(time.monotonic())
        left = self._times.left(total_steps - point.step)
        parts += [] if left is None else [left.words]
        self._at = (point.step, total_steps, ", ".join(parts))
        if self._live:
            self._live.step(point)
        if time.monotonic() - self._told_at >= SECONDS_BETWEEN_NEWS:
            self._tell()
        self._progress.update(*self._at)

    def _tell(self) -> None:
        if self._live:
            self._live.on_warnings(given_warnings())
            self._host.send(EVENT, self._live.news())
            self._told_at = time.monotonic()
