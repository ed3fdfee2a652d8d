"""The training history of a run: points in memory, one JSON line each on disk as they come, and ComfyUI's LOSS_MAP."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..errors import DiskError
from ..files import read_bytes, write_text
from ..scores.checkpoint_scores import CheckpointScores
from .metrics import STEP_METRICS, History, LossPoint, people_in, person_metric, values_of

LossMap = dict[str, list[Any]]
# Runs without these are written as they were before there were any.
_ADDED_LATER = frozenset({"tokens", "regularisation", "dop", "people"})

VALIDATION = "validation"
"""The key of an evaluation, in a line of the log and in a LOSS_MAP."""

SCORES = "scores"
"""The key of a checkpoint's scores, in a line of the log and in a LOSS_MAP."""


def loss_map(history: History) -> LossMap:
    """One finite float per optimizer step under each name, and `validation` as [[step, value], …].

    None under `inside` and `outside` is a step whose region was empty. `prior` is there where prior preservation acted
    at all, `dop` where differential output preservation did, `regularisation` where regularisation images came, with
    None for the steps without, and `inside/<name>` where items of several people came, likewise. `scores` (dicts as
    `CheckpointScores.to_json` gives them) is there where sample pictures were scored.
    """
    curves = {metric: values_of(metric, history.points) for metric in STEP_METRICS}
    values: LossMap = {
        metric.name: list(curve)
        for metric, curve in curves.items()
        if not metric.optional or any(value is not None for value in curve)
    }
    for name in people_in(history.points):
        values[person_metric(name, 0).name] = [point.people.get(name) for point in history.points]
    values[VALIDATION] = [[step, value] for step, value in history.validation]
    if history.scores:
        values[SCORES] = [each.to_json() for each in history.scores]
    return values


def points_to_json(points: Iterable[LossPoint]) -> list[dict[str, Any]]:
    """As the log writes them; an empty region is null, and so is the drift from a teacher that was not asked."""
    return [_to_json(point) for point in points]


def points_from_json(values: Iterable[dict[str, Any]]) -> list[LossPoint]:
    """The opposite of `points_to_json`."""
    return [replace(LossPoint(**value), near_zero=tuple(value["near_zero"])) for value in values]


def _to_json(point: LossPoint) -> dict[str, Any]:
    return {name: value for name, value in asdict(point).items() if name not in _ADDED_LATER or value not in (None, {})}


def last_step(path: Path) -> int:
    """The last optimizer step that a log has; 0 where it has none, or there is no log that can be read."""
    try:
        lines = read_bytes(path).splitlines()
    except OSError:
        return 0
    for line in reversed(lines):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            continue  # cut off as it was written
        if isinstance(content, dict) and "loss" in content and isinstance(content.get("step"), int):
            return int(content["step"])
    return 0


class LossLog:
    """`<output>.jsonl`: a line per optimizer step, one with "validation" per evaluation, one with "scores" per scored
    checkpoint, written as they come."""

    def __init__(self, path: Path, history: History) -> None:
        """Start the file with what a resumed run already knows; lines after that point are forgotten."""
        self._path = path
        lines = [(point["step"], 0, json.dumps(point)) for point in points_to_json(history.points)]
        lines += [(step, 1, _validation_line(step, value)) for step, value in history.validation]
        lines += [(each.step, 2, _scores_line(each)) for each in history.scores]
        write_text(path, "".join(f"{line}\n" for _, _, line in sorted(lines)))

    def add(self, point: LossPoint) -> None:
        """Append an optimizer step. DiskError when the disk is full or refuses."""
        self._append(json.dumps(_to_json(point), allow_nan=False))

    def add_validation(self, step: int, value: float) -> None:
        """Append an evaluation."""
        self._append(_validation_line(step, value))

    def add_scores(self, scores: CheckpointScores) -> None:
        """Append the scores of a checkpoint."""
        self._append(_scores_line(scores))

    def _append(self, line: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as problem:
            raise DiskError(
                f"{self._path} cannot be written ({problem.strerror or problem}); make room on that disk and see that "
                "files may be written there, then queue again: training goes on from its last save."
            ) from problem


def _validation_line(step: int, value: float) -> str:
    return json.dumps({"step": step, VALIDATION: value}, allow_nan=False)


def _scores_line(scores: CheckpointScores) -> str:
    return json.dumps({"step": scores.step, SCORES: scores.to_json()}, allow_nan=False)
