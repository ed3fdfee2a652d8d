"""Prior preservation in time: who the teacher is, and how much it counts in a step.

What lies outside the mask is held to the teacher's prediction for the same noise and timestep. The base model is the
model without the adapter. The ema teacher is the model with the moving average of the adapter, which starts as the base
model and follows slowly: it holds back what changes fast, and lets the outside change where the subject needs it to.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack

import torch

from ..mask_weights import MaskLossSettings, PriorSchedule, PriorTeacher
from .adapters import LoraAdapters
from .updates import MovingAverage


class Teacher:
    """The teacher of one run; `values` is the average that the ema teacher swaps in, empty for the base model."""

    def __init__(self, settings: MaskLossSettings | None, adapters: LoraAdapters) -> None:
        self._adapters = adapters
        teachers = {PriorTeacher.BASE: False, PriorTeacher.EMA: True}
        averaged = settings is not None and settings.prior_weight > 0 and teachers[settings.prior_teacher]
        decay = settings.prior_ema_decay if settings else 0.0
        self._average = MovingAverage(decay, adapters.parameters, warm_up=False) if averaged else None

    @property
    def values(self) -> list[torch.Tensor]:
        """Float32, in the order of the adapters' parameters."""
        return self._average.values if self._average else []

    def follow(self, step: int) -> None:
        """Take in the parameters as they are after optimizer step `step` (0-based)."""
        if self._average:
            self._average.update(self._adapters.parameters, step)

    def forward_context(self) -> AbstractContextManager[object]:
        """Inside, a forward pass of the model is the teacher's: without dropout and without gradients.

        To be entered before the student's forward pass and not after it: the average is swapped in for the
        parameters, which the backward pass needs as they were.
        """
        self._adapters.set_dropout_seeds(())
        stack = ExitStack()
        stack.enter_context(torch.no_grad())
        stack.enter_context(self._adapters.swapped_in(self.values) if self._average else self._adapters.disable())
        return stack


def prior_weight_at(settings: MaskLossSettings, step: int, steps: int) -> float:
    """Weight of prior preservation in optimizer step `step` (0-based) of `steps`.

    A function of the step alone, so that a resumed run needs nothing; a run that is continued with more steps follows
    the longer schedule from where it is, as the learning rate does.
    """
    factor = {
        PriorSchedule.CONSTANT: 1.0,
        PriorSchedule.RISE: (step + 1) / steps,
        PriorSchedule.FALL: 1.0 - step / steps,
    }[settings.prior_schedule]
    return settings.prior_weight * factor
