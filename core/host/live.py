"""The history of every training run for as long as the program lives: what a panel in the graph editor draws.

As JSON, whole (`LiveRun.whole`) or as what is new (`LiveRun.news`), with the same keys:
{"node", "prompt", "run": name of the output, "steps": in all, "state": "running|finished|interrupted|failed",
"columns": ["step", "smoothed", "validation", then every figure of the steps that is drawn, then that of each person
whose items came], "points": a row of these for each step, shorter where a person came later, "metrics": [as
`Metric.to_json` gives them, of all that is drawn], "eta": seconds, "sample": {"filename", "subfolder", "type", "step"},
"scores": [as `CheckpointScores.to_json` gives them], "choice": {"step", "sure", "reason"} of the checkpoint to keep,
"warnings": [texts], "told": how often this run has been
told of}. What is not known is null: a region that is empty, a step without an evaluation or prior preservation, the
first step's time, a run without samples or scores; and the loss in step 0, which only has an evaluation. An answer that
news have overtaken is known by its lower "told".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from ..scores.best_checkpoint import choose_checkpoint
from ..scores.checkpoint_scores import CheckpointScores
from ..train.metrics import (
    METRICS,
    STEP_METRICS,
    VALIDATION,
    Drawn,
    History,
    LossPoint,
    ValidationPoint,
    person_metric,
)

EVENT = "maskloss.training"
ROUTE = "/maskloss/training"
MOST_POINTS = 2000
MOST_RUNS = 50
_SMOOTHING = 0.98


class RunState(str, Enum):
    """How a run goes, or how it ended."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


_DRAWN = tuple(metric for metric in STEP_METRICS if metric.drawn is not Drawn.NOWHERE)
COLUMNS = ("step", "smoothed", VALIDATION.name, *(metric.name for metric in _DRAWN))
"""What a row of a run's points holds; `smoothed` is the running mean of the loss."""


@dataclass(frozen=True)
class LivePoint:
    """One optimizer step, or an evaluation before the first one; `values` of the other columns, in their order."""

    step: int
    smoothed: float | None
    validation: float | None
    values: tuple[float | None, ...] = (None,) * len(_DRAWN)

    def row(self) -> list[int | float | None]:
        """As the JSON has it."""
        return [self.step, self.smoothed, self.validation, *self.values]


class Series:
    """Points of any number of steps, kept as at most `most` spread evenly; an evaluation stays before a mere step."""

    def __init__(self, most: int = MOST_POINTS) -> None:
        self._most = most
        self._stride = 1
        self._kept: dict[int, LivePoint] = {}
        self._last: LivePoint | None = None

    def add(self, point: LivePoint) -> None:
        """The next point; steps rise."""
        self._last = point
        self._keep(point)
        while len(self._kept) >= self._most:
            self._stride *= 2
            before, self._kept = self._kept, {}
            for kept in before.values():
                self._keep(kept)

    def points(self) -> list[LivePoint]:
        """By step, the newest one always among them."""
        kept = list(self._kept.values())
        newest = [] if self._last is None or kept[-1] is self._last else [self._last]
        return [*kept, *newest]

    def _keep(self, point: LivePoint) -> None:
        place = point.step // self._stride
        before = self._kept.get(place)
        if before is None or before.validation is None or point.validation is not None:
            self._kept[place] = point


class LiveRun:
    """One node's run. The training thread writes it while the server's thread reads it."""

    def __init__(self, node: str, prompt: str, name: str, steps: int) -> None:
        self.key = (node, name)
        drawn = [metric.to_json() for metric in METRICS if metric.drawn is not Drawn.NOWHERE]
        self._head: dict[str, Any] = {"node": node, "prompt": prompt, "run": name, "columns": list(COLUMNS)}
        self._head["metrics"] = drawn
        self._people: list[str] = []
        self._state = RunState.RUNNING
        self._sample: dict[str, Any] | None = None
        self._series = Series()
        self._unsent: list[LivePoint] = []
        self._mean, self._weight = 0.0, 0.0
        self._validated: ValidationPoint | None = None
        self._steps = steps
        self._began: tuple[float, int] | None = None
        self._step = 0
        self._told_times = 0
        self._warnings: list[str] = []
        self._scores: dict[int, CheckpointScores] = {}
        self._lock = threading.Lock()

    def begin(self, history: History) -> None:
        """What a resumed run brings along, and the moment from which its speed is measured."""
        evaluated = dict(history.validation)
        if 0 in evaluated:
            self.on_validation(0, evaluated[0])
        for point in history.points:
            self._validated = (point.step, evaluated[point.step]) if point.step in evaluated else None
            self.step(point)
        for each in history.scores:
            self.on_scores(each)
        self._began = (time.monotonic(), self._step)

    def on_validation(self, step: int, value: float) -> None:
        """An evaluation; it belongs to the point of that step, which comes after it."""
        if step == 0:
            self._add(LivePoint(0, None, value))
        else:
            self._validated = (step, value)

    def step(self, point: LossPoint) -> None:
        """An optimizer step."""
        self._mean = _SMOOTHING * self._mean + (1.0 - _SMOOTHING) * point.loss
        self._weight = _SMOOTHING * self._weight + (1.0 - _SMOOTHING)
        due = self._validated if self._validated and self._validated[0] == point.step else None
        self._step, self._validated = point.step, None
        for name in sorted(point.people.keys() - set(self._people)):
            self._add_person(name)
        values = tuple(getattr(point, metric.name) for metric in _DRAWN)
        values += tuple(point.people.get(name) for name in self._people)
        self._add(LivePoint(point.step, self._mean / self._weight, due[1] if due else None, values))

    def _add_person(self, name: str) -> None:
        """A column more: rows from before it are shorter, and have nothing there."""
        metric = person_metric(name, len(self._people))
        with self._lock:
            self._people.append(name)
            columns, metrics = self._head["columns"], self._head["metrics"]
            self._head = {**self._head, "columns": [*columns, metric.name], "metrics": [*metrics, metric.to_json()]}

    def on_sample(self, step: int, picture: dict[str, str]) -> None:
        """The newest sample picture, as ComfyUI refers to its files."""
        with self._lock:
            self._sample = {**picture, "step": step}

    def on_scores(self, scores: CheckpointScores) -> None:
        """The scores of a step's sample pictures."""
        with self._lock:
            self._scores[scores.step] = scores

    def on_warnings(self, texts: Sequence[str]) -> None:
        """All that has been warned of."""
        with self._lock:
            self._warnings = list(texts)

    def end(self, state: RunState) -> None:
        """Nothing more will come."""
        with self._lock:
            self._state = state

    def whole(self) -> dict[str, Any]:
        """Everything that is kept."""
        with self._lock:
            return self._to_message(self._series.points())

    def news(self) -> dict[str, Any]:
        """The points since the last `news`, at most as many as are kept."""
        with self._lock:
            unsent, self._unsent = self._unsent, []
            if len(unsent) > MOST_POINTS:
                unsent = self._series.points()
            return self._to_message(unsent)

    def _add(self, point: LivePoint) -> None:
        with self._lock:
            self._series.add(point)
            self._unsent.append(point)

    def _to_message(self, points: Sequence[LivePoint]) -> dict[str, Any]:
        self._told_times += 1
        now = {
            "state": self._state.value,
            "eta": self._eta(),
            "sample": self._sample,
            "scores": [each.to_json() for each in self._scores.values()],
            "choice": asdict(choose_checkpoint(list(self._scores.values()))) if self._scores else None,
            "warnings": self._warnings,
            "told": self._told_times,
        }
        # A run that is found finished may have more steps than were asked for now.
        steps = max(self._steps, self._step)
        return {**self._head, "steps": steps, "points": [point.row() for point in points], **now}

    def _eta(self) -> float | None:
        if self._began is None or self._step <= self._began[1] or self._state is not RunState.RUNNING:
            return None
        since, first = self._began
        return round((time.monotonic() - since) / (self._step - first) * (self._steps - self._step), 1)


class KeptRuns:
    """The newest run of each node and output name, the one that began last at the end.

    Nodes of different workflows share their ids, so that the id alone tells no run from another.
    """

    def __init__(self, most: int = MOST_RUNS) -> None:
        self._most = most
        self._runs: dict[tuple[str, str], LiveRun] = {}
        self._lock = threading.Lock()

    def keep(self, run: LiveRun) -> None:
        """In place of the same node's run of that name."""
        with self._lock:
            self._runs.pop(run.key, None)
            self._runs[run.key] = run
            if len(self._runs) > self._most:
                del self._runs[next(iter(self._runs))]

    def whole(self) -> dict[str, Any]:
        """{"runs": [each as `LiveRun.whole` gives it]}."""
        with self._lock:
            runs = list(self._runs.values())
        return {"runs": [run.whole() for run in runs]}


KEPT_RUNS = KeptRuns()
