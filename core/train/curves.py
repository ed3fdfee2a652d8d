"""The history of a run as TensorBoard shows it, where the package `tensorboard` is installed; else nothing is done."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ..scores.checkpoint_scores import CheckpointScores
from .metrics import SCORE_METRICS, STEP_METRICS, VALIDATION, LossPoint, person_metric


class Curves:
    """Scalars by optimizer step in event files of `directory`, until it is closed."""

    def __init__(self, directory: Path, step: int) -> None:
        """`step` is the last one that a resumed run keeps; what an earlier attempt wrote after it is hidden."""
        writer = _summary_writer()
        self._writer: Any = writer(str(directory), purge_step=step + 1) if writer else None

    def close(self) -> None:
        """Nothing more will come."""
        if self._writer:
            self._writer.close()

    def add(self, point: LossPoint) -> None:
        """An optimizer step; a region that is empty in it leaves a gap in its curve."""
        for metric in STEP_METRICS:
            self._write(metric.name, getattr(point, metric.name), point.step)
        for name, value in point.people.items():
            self._write(person_metric(name, 0).name, value, point.step)

    def add_validation(self, step: int, value: float) -> None:
        """An evaluation."""
        self._write(VALIDATION.name, value, step)

    def add_scores(self, scores: CheckpointScores) -> None:
        """The scores of a checkpoint; what was not measured leaves a gap."""
        for metric in SCORE_METRICS:
            self._write(f"scores/{metric.name}", getattr(scores, metric.name), scores.step)

    def _write(self, name: str, value: float | None, step: int) -> None:
        if self._writer and value is not None:
            self._writer.add_scalar(name, value, step)


def _summary_writer() -> Any:
    try:
        return importlib.import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError:
        # Not installed, or too old for this torch: nobody asked for curves then.
        return None
