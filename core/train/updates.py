"""What one optimizer step is: the optimizer of a run, its learning rate (warm-up, then the schedule), and the moving
average."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from .config import OptimizerConfig
from .optimizers import construct_optimizer, parse_optimizer_args


def build_optimizer(config: OptimizerConfig, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that `config` describes over `parameters`."""
    arguments = parse_optimizer_args(config.name, config.optimizer_args)
    return construct_optimizer(config.name, parameters, config.learning_rate, config.weight_decay, arguments)


def evaluated_values(optimizer: torch.optim.Optimizer, parameters: Sequence[torch.nn.Parameter]) -> list[torch.Tensor]:
    """Copies of the values that stand for what has been learnt: the parameters, or a schedule-free optimizer's average.

    The parameters are afterwards what they were to the last bit, which that optimizer's own switch does not promise.
    """
    with torch.no_grad():
        kept = [parameter.detach().clone() for parameter in parameters]
        switch: Any = optimizer
        if not all(hasattr(optimizer, mode) for mode in ("train", "eval")):
            return kept
        switch.eval()
        values = [parameter.detach().clone() for parameter in parameters]
        switch.train()
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
        return values


def effective_rate(optimizer: torch.optim.Optimizer) -> float:
    """The learning rate of the last step: the one that was set, times what Prodigy has found."""
    group = optimizer.param_groups[0]
    found = group["d"] if "d_max" in group else 1.0
    return float(group["lr"]) * float(found)


def learning_rate_at(step: int, steps: int, config: OptimizerConfig) -> float:
    """Learning rate of optimizer step `step` (0-based) of `steps`: linear warm-up, then the schedule down to zero.

    A function of the step alone, so that a resumed run needs no scheduler state. `linear` and `cosine` end at `steps`;
    a run that is continued with more steps follows the longer schedule from where it is.
    """
    warmup = config.warmup_steps
    if step < warmup:
        return config.learning_rate * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    factor = {
        "constant": 1.0,
        "linear": 1.0 - progress,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),
    }[config.lr_scheduler.value]
    return config.learning_rate * factor


class MovingAverage:
    """Exponential moving average of parameters, in float32. With `warm_up` the decay is at most (1+n)/(10+n) in
    step n, so that the first values weigh little."""

    def __init__(self, decay: float, parameters: Sequence[torch.nn.Parameter], warm_up: bool = True) -> None:
        self.values = [parameter.detach().float().clone() for parameter in parameters]
        self._decay = decay
        self._warm_up = warm_up

    def update(self, parameters: Sequence[torch.nn.Parameter], step: int) -> None:
        """Take in the parameters as they are after optimizer step `step` (0-based)."""
        decay = min(self._decay, (1 + step) / (10 + step)) if self._warm_up else self._decay
        for value, parameter in zip(self.values, parameters, strict=True):
            value.lerp_(parameter.detach().float(), 1.0 - decay)
