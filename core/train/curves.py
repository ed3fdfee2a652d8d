"""The course of a run as TensorBoard shows it, where the package `tensorboard` is installed; else nothing is done."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import TracebackType
from typing import Any

from ..scores.checkpoint_scores import MEASURED, CheckpointScores
from .config import LossPoint

_NAMES = ("loss", "inside", "outside", "coverage", "learning_rate", "grad_norm", "prior")


class Curves:
    """Scalars by optimizer step in event files of `directory`; to be used in a `with` block, which ends the writing."""

    def __init__(self, directory: Path, step: int) -> None:
        """`step` is the last one that a resumed run keeps; what an earlier attempt wrote after it is hidden."""
        writer = _summary_writer()
        self._writer: Any = writer(str(directory), purge_step=step + 1) if writer else None

    def __enter__(self) -> Curves:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer:
            self._writer.close()

    def add(self, point: LossPoint) -> None:
        """An optimizer step; a region that is empty in it leaves a gap in its curve."""
        for name in _NAMES:
            value = getattr(point, name)
            if self._writer and value is not None:
                self._writer.add_scalar(name, value, point.step)

    def add_validation(self, step: int, value: float) -> None:
        """An evaluation."""
        if self._writer:
            self._writer.add_scalar("validation", value, step)

    def add_scores(self, scores: CheckpointScores) -> None:
        """The scores of a checkpoint; what was not measured leaves a gap."""
        for name in MEASURED:
            value = getattr(scores, name)
            if self._writer and value is not None:
                self._writer.add_scalar(f"scores/{name}", value, scores.step)


def _summary_writer() -> Any:
    try:
        return importlib.import_module("torch.utils.tensorboard").SummaryWriter
    except ImportError:
        # Not installed, or too old for this torch: nobody asked for curves then.
        return None
