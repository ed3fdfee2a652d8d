"""Optimizers by name, their arguments from a line of text, the learning rate of a step, and the moving average."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

import torch

from ..errors import SettingError

if TYPE_CHECKING:
    from .config import OptimizerConfig


class OptimizerName(str, Enum):
    """The optimizers of torch that train LoRAs well."""

    ADAMW = "adamw"
    ADAFACTOR = "adafactor"
    RADAM = "radam"
    SGD = "sgd"


_CLASSES: dict[OptimizerName, type[torch.optim.Optimizer]] = {
    OptimizerName.ADAMW: torch.optim.AdamW,
    OptimizerName.ADAFACTOR: torch.optim.Adafactor,
    OptimizerName.RADAM: torch.optim.RAdam,
    OptimizerName.SGD: torch.optim.SGD,
}
# Ours to set, or without effect on the result.
_RESERVED = {"self", "params", "lr", "weight_decay", "maximize", "foreach", "fused", "capturable", "differentiable"}

OptimizerArgument = bool | int | float | tuple[float | None, ...] | None


def parse_optimizer_args(name: OptimizerName, text: str) -> dict[str, OptimizerArgument]:
    """`key=value` pairs, apart by blanks, commas or semicolons, values written as Python does.

    SettingError for an unknown key (naming the known ones) and for a value that the optimizer refuses.
    """
    known = [key for key in inspect.signature(_CLASSES[name]).parameters if key not in _RESERVED]
    values: dict[str, OptimizerArgument] = {}
    pairs = [pair.strip(" ,;\n\t") for pair in re.split(r"[\s,;]+(?=[A-Za-z_]\w*\s*=)", text.strip())]
    for pair in filter(None, pairs):
        key, separator, written = (part.strip() for part in pair.partition("="))
        if not separator or key not in known:
            raise SettingError(
                f"optimizer_args has {pair!r}, which {name.value} does not know; give key=value with one of: "
                f"{', '.join(known)}."
            )
        try:
            values[key] = ast.literal_eval(written)
        except (ValueError, SyntaxError) as problem:
            raise SettingError(
                f"optimizer_args: {key} has the value {written!r}; write a number, True, False, None or (a, b)."
            ) from problem
    if not values:
        return values
    probe = torch.nn.Parameter(torch.zeros(1))
    try:
        _CLASSES[name]([probe], **{"lr": 1e-3, **values})  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (ValueError, TypeError, RuntimeError) as problem:
        raise SettingError(f"optimizer_args {text!r} is refused by {name.value}: {problem}") from problem
    return values


def build_optimizer(config: OptimizerConfig, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that `config` describes over `parameters`."""
    arguments = parse_optimizer_args(config.name, config.optimizer_args)
    return _CLASSES[config.name](
        list(parameters),
        **{"lr": config.learning_rate, "weight_decay": config.weight_decay, **arguments},  # pyright: ignore[reportArgumentType, reportCallIssue]
    )


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
    """Exponential moving average of parameters, in float32; early on the decay is (1+n)/(10+n), so that the start
    does not linger."""

    def __init__(self, decay: float, parameters: Sequence[torch.nn.Parameter]) -> None:
        self.values = [parameter.detach().float().clone() for parameter in parameters]
        self._decay = decay

    def update(self, parameters: Sequence[torch.nn.Parameter], step: int) -> None:
        """Take in the parameters as they are after optimizer step `step` (0-based)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for value, parameter in zip(self.values, parameters, strict=True):
            value.lerp_(parameter.detach().float(), 1.0 - decay)
