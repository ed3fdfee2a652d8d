"""Prior preservation in time: who the teacher is, and how much it counts in a step and at a timestep.

What lies outside the mask is held to the teacher's prediction for the same noise and timestep. The base model is the
model without the adapter. The ema teacher is the model with the moving average of the adapter, which starts as the base
model and follows slowly: it holds back what changes fast, and lets the outside change where the subject needs it to.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, ExitStack

import torch

from ..errors import unhandled_choice
from ..mask_weights import MaskLossSettings, PriorDecay, PriorSchedule, PriorTeacher
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
        return self._without_gradients(
            self._adapters.swapped_in(self.values) if self._average else self._adapters.disable()
        )

    def base_context(self) -> AbstractContextManager[object]:
        """Inside, a forward pass of the model is the base model's, whoever the teacher is."""
        return self._without_gradients(self._adapters.disable())

    def _without_gradients(self, model: AbstractContextManager[object]) -> AbstractContextManager[object]:
        self._adapters.set_dropout_seeds(())
        stack = ExitStack()
        stack.enter_context(torch.no_grad())
        stack.enter_context(model)
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
    warm_up = min(1.0, step / settings.prior_warmup_steps) if settings.prior_warmup_steps > 0 else 1.0
    return settings.prior_weight * factor * warm_up


def prior_factors(settings: MaskLossSettings, t_B: torch.Tensor) -> torch.Tensor:
    """(B,) float32 in [0, 1]: by what prior preservation's weight is multiplied in samples of t: 0 up to `prior_min_t`,
    else, with s = min(t / prior_decay_start, 1): 1 (constant), s (linear), or (1 − cos πs) / 2 (cosine)."""
    risen_B = (t_B.float() / settings.prior_decay_start).clamp(0.0, 1.0)
    if settings.prior_decay is PriorDecay.CONSTANT:
        factors_B = torch.ones_like(risen_B)
    elif settings.prior_decay is PriorDecay.LINEAR:
        factors_B = risen_B
    elif settings.prior_decay is PriorDecay.COSINE:
        factors_B = 0.5 - 0.5 * torch.cos(math.pi * risen_B)
    else:
        raise unhandled_choice(settings.prior_decay)
    return torch.where(t_B > settings.prior_min_t, factors_B, 0.0) if settings.prior_min_t > 0 else factors_B
