"""A training run in another process, told through a file: a line of JSON for everything that its observer hears.

{"event": the method, "values": its arguments as JSON}; "finished" with the LoRA's path or "failed" with a reason ends
it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DiskError, PromptError, UserError
from ..images import load_image, save_image
from ..scores.checkpoint_scores import CheckpointScores, scores_from_json
from ..train.loss_log import points_from_json, points_to_json
from ..train.metrics import History, LossPoint
from ..train.observer import TrainObserver


class Relay:
    """A TrainObserver that writes down what it hears; pictures are files beside it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def say(self, text: str) -> None:
        self._tell("say", text)

    def warn(self, text: str) -> None:
        """What the running node warned of."""
        self._tell("warn", text)

    def check(self) -> None:
        return None

    def begin(self, history: History) -> None:
        self._tell("begin", history_to_json(history))

    def step(self, point: LossPoint, total_steps: int) -> None:
        self._tell("step", points_to_json([point])[0], total_steps)

    def on_validation(self, step: int, value: float) -> None:
        self._tell("on_validation", step, value)

    def on_sample(self, step: int, picture: np.ndarray) -> None:
        name = f"step_{step}.png"
        save_image(self._path.parent / name, picture)
        self._tell("on_sample", step, name)

    def on_scores(self, scores: CheckpointScores) -> None:
        self._tell("on_scores", scores.to_json())

    def finish(self, path: str) -> None:
        """The node is done, and the LoRA is at `path`."""
        self._tell("finished", path)

    def fail(self, problem: BaseException) -> None:
        """The run ends by `problem`; which node it is of is known where it is waited for."""
        if isinstance(problem, PromptError) and isinstance(problem.__cause__, UserError):
            problem = problem.__cause__
        kind = "" if isinstance(problem, Exception) and str(problem) else f"{type(problem).__name__}: "
        self._tell("failed", f"{kind}{problem}")

    def _tell(self, event: str, *values: Any) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"event": event, "values": values}) + "\n")
        except OSError as problem:
            raise DiskError(
                f"{self._path} cannot be written ({problem.strerror or problem}); make room on that disk, and queue "
                "again: training goes on from its last save."
            ) from problem


class Relayed:
    """The other end: tells `observer`, and `warn`, what has been written so far.

    finished: the LoRA's path; failed: why there is none. None until then.
    """

    def __init__(self, path: Path, observer: TrainObserver, warn: Callable[[str], object]) -> None:
        self.finished: Path | None = None
        self.failed: str | None = None
        self._path, self._observer, self._read = path, observer, 0
        self._heard: Mapping[str, Callable[..., object]] = {
            "say": observer.say,
            "warn": warn,
            "begin": lambda history: observer.begin(history_from_json(history)),
            "step": lambda point, total: observer.step(points_from_json([point])[0], total),
            "on_validation": observer.on_validation,
            "on_sample": lambda step, name: observer.on_sample(step, load_image(path.parent / name)[0]),
            "on_scores": lambda scores: observer.on_scores(scores_from_json(scores)),
            "finished": self._finish,
            "failed": self._fail,
        }

    def tell(self) -> None:
        """What is new since the last call. Raises the host's interrupt."""
        if not self._path.exists():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._read)
            whole, ending, _ = stream.read().rpartition(b"\n")
        for line in whole.split(b"\n") if ending else ():
            self._read += len(line) + 1
            event = json.loads(line)
            self._heard[event["event"]](*event["values"])

    def _finish(self, path: str) -> None:
        self.finished = Path(path)

    def _fail(self, text: str) -> None:
        self.failed = text


def history_to_json(history: History) -> dict[str, Any]:
    """As `history_from_json` takes it."""
    scores = [each.to_json() for each in history.scores]
    return {"points": points_to_json(history.points), "validation": history.validation, "scores": scores}


def history_from_json(value: Mapping[str, Any]) -> History:
    """The opposite of `history_to_json`."""
    validation = [(step, loss) for step, loss in value["validation"]]
    return History(points_from_json(value["points"]), validation, [scores_from_json(each) for each in value["scores"]])
