"""One place to which the training loop tells what was measured: history, log, TensorBoard, and whoever watches."""

from __future__ import annotations

from types import TracebackType

import numpy as np

from ..scores.checkpoint_scores import CheckpointScores
from .curves import Curves
from .loss_log import LossLog
from .metrics import History, LossPoint
from .observer import TrainObserver
from .run import RunFiles


class Recorder:
    """To be used in a `with` block. `history` is the run's, which this makes longer."""

    def __init__(self, files: RunFiles, history: History, observer: TrainObserver) -> None:
        """Starts the log anew with what the history has; what an earlier attempt wrote after that is forgotten.
        DiskError where it cannot be written."""
        self.history = history
        self.observer = observer
        self._log = LossLog(files.log, history)
        self._curves = Curves(files.curves, len(history.points))

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._curves.close()

    def record_step(self, point: LossPoint) -> None:
        """An optimizer step that the history has already; it is announced when its evaluation is done as well."""
        self._log.add(point)
        self._curves.add(point)

    def announce(self, total_steps: int) -> None:
        """The last step is done, with all that is measured of it but its samples."""
        self.observer.step(self.history.points[-1], total_steps)

    def record_validation(self, step: int, value: float) -> None:
        """An evaluation."""
        self.history.validation.append((step, value))
        self._log.add_validation(step, value)
        self._curves.add_validation(step, value)
        self.observer.on_validation(step, value)

    def record_sample(self, step: int, picture: np.ndarray, scores: CheckpointScores | None) -> None:
        """A sample picture, uint8 RGB, whose file is written, and what was measured of it."""
        self.observer.on_sample(step, picture)
        if scores is None:
            return
        self.history.scores.append(scores)
        self._log.add_scores(scores)
        self._curves.add_scores(scores)
        self.observer.on_scores(scores)
