"""Optimizers by name, their arguments from a line of text, the learning rate of a step, and the moving average."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch

from ..errors import SettingError

if TYPE_CHECKING:
    from .config import OptimizerConfig


class OptimizerName(str, Enum):
    """Optimizers that train LoRAs well. None is written here; each comes from the library that keeps it."""

    ADAMW = "adamw"
    ADAFACTOR = "adafactor"
    RADAM = "radam"
    SGD = "sgd"
    LION = "lion"
    PRODIGY = "prodigy"
    SCHEDULE_FREE_ADAMW = "schedule_free_adamw"
    CAME = "came"
    MUON = "muon"
    ADAMW_8BIT = "adamw_8bit"


@dataclass(frozen=True)
class _Source:
    """Where an optimizer's class is; `package` is its library's name for pip."""

    module: str
    name: str
    package: str


_SOURCES = {
    OptimizerName.ADAMW: _Source("torch.optim", "AdamW", "torch"),
    OptimizerName.ADAFACTOR: _Source("torch.optim", "Adafactor", "torch"),
    OptimizerName.RADAM: _Source("torch.optim", "RAdam", "torch"),
    OptimizerName.SGD: _Source("torch.optim", "SGD", "torch"),
    OptimizerName.LION: _Source("pytorch_optimizer", "Lion", "pytorch-optimizer"),
    OptimizerName.PRODIGY: _Source("pytorch_optimizer", "Prodigy", "pytorch-optimizer"),
    OptimizerName.SCHEDULE_FREE_ADAMW: _Source("pytorch_optimizer", "ScheduleFreeAdamW", "pytorch-optimizer"),
    OptimizerName.CAME: _Source("pytorch_optimizer", "CAME", "pytorch-optimizer"),
    OptimizerName.MUON: _Source("pytorch_optimizer", "Muon", "pytorch-optimizer"),
    OptimizerName.ADAMW_8BIT: _Source("bitsandbytes.optim", "AdamW8bit", "bitsandbytes"),
}
# Where torch updates a tensor in one pass over it; elsewhere it does so operation by operation.
_FUSED_ON = ("cpu", "cuda", "mps")
# Ours to set, or without effect on the result.
_RESERVED = {
    "self", "params", "lr", "weight_decay", "maximize", "foreach", "fused", "capturable", "differentiable",
    "warmup_steps", "adamw_lr", "adamw_wd", "optim_bits", "args", "is_paged",
}  # fmt: skip

OptimizerArgument = bool | int | float | str | tuple[float | None, ...] | None


def check_optimizer(config: OptimizerConfig) -> None:
    """SettingError when the optimizer's library is missing, or a setting means nothing to it."""
    name = config.name
    if name is OptimizerName.PRODIGY and config.learning_rate < 0.1:
        raise SettingError(
            f"prodigy finds the learning rate itself and multiplies it by learning_rate; found {config.learning_rate}, "
            "with which it would learn next to nothing: give 1.0."
        )
    if name is OptimizerName.SCHEDULE_FREE_ADAMW:
        if config.lr_scheduler.value != "constant":
            raise SettingError(
                f"schedule_free_adamw stands in place of a schedule; found lr_scheduler {config.lr_scheduler.value}: "
                "choose constant (warmup_steps may stay)."
            )
        if config.ema_decay > 0:
            raise SettingError(
                "schedule_free_adamw averages the weights itself; found ema_decay "
                f"{config.ema_decay}: set it to 0, or choose another optimizer."
            )
    parse_optimizer_args(name, config.optimizer_args)


def parse_optimizer_args(name: OptimizerName, text: str) -> dict[str, OptimizerArgument]:
    """`key=value` pairs, apart by blanks, commas or semicolons, values written as Python does.

    SettingError for an unknown key (naming the known ones), for a value that the optimizer refuses, and when the
    optimizer's library is not installed.
    """
    _require_library(name)
    values: dict[str, OptimizerArgument] = {}
    pairs = [pair.strip(" ,;\n\t") for pair in re.split(r"[\s,;]+(?=[A-Za-z_]\w*\s*=)", text.strip())]
    for pair in filter(None, pairs):
        key, separator, written = (part.strip() for part in pair.partition("="))
        known = _argument_names(name)
        if not separator or key not in known:
            raise SettingError(
                f"optimizer_args has {pair!r}, which {name.value} does not know; give key=value with one of: "
                f"{', '.join(known)}."
            )
        try:
            values[key] = ast.literal_eval(written)
        except (ValueError, SyntaxError) as problem:
            raise SettingError(
                f"optimizer_args: {key} has the value {written!r}; write a number, True, False, None, (a, b) or 'text'."
            ) from problem
    if not values:
        return values
    try:
        _construct(name, [torch.nn.Parameter(torch.zeros(2, 2))], 1e-3, 0.0, values)
    except (ValueError, TypeError, RuntimeError) as problem:
        raise SettingError(f"optimizer_args {text!r} is refused by {name.value}: {problem}") from problem
    return values


def build_optimizer(config: OptimizerConfig, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that `config` describes over `parameters`."""
    arguments = parse_optimizer_args(config.name, config.optimizer_args)
    return _construct(config.name, parameters, config.learning_rate, config.weight_decay, arguments)


def evaluated_values(optimizer: torch.optim.Optimizer, parameters: Sequence[torch.nn.Parameter]) -> list[torch.Tensor]:
    """Copies of the values that stand for what has been learnt: the parameters, or a schedule-free optimizer's average.

    The parameters are afterwards what they were to the last bit, which that optimizer's own way back does not promise.
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
    """Exponential moving average of parameters, in float32. With `settling` the decay is (1+n)/(10+n) early on, so that
    the start does not linger."""

    def __init__(self, decay: float, parameters: Sequence[torch.nn.Parameter], settling: bool = True) -> None:
        self.values = [parameter.detach().float().clone() for parameter in parameters]
        self._decay = decay
        self._settling = settling

    def update(self, parameters: Sequence[torch.nn.Parameter], step: int) -> None:
        """Take in the parameters as they are after optimizer step `step` (0-based)."""
        decay = min(self._decay, (1 + step) / (10 + step)) if self._settling else self._decay
        for value, parameter in zip(self.values, parameters, strict=True):
            value.lerp_(parameter.detach().float(), 1.0 - decay)


def _construct(
    name: OptimizerName,
    parameters: Sequence[torch.nn.Parameter],
    learning_rate: float,
    weight_decay: float,
    arguments: Mapping[str, OptimizerArgument],
) -> torch.optim.Optimizer:
    shared = {"lr": learning_rate, "weight_decay": weight_decay}
    if name is OptimizerName.ADAMW and all(parameter.device.type in _FUSED_ON for parameter in parameters):
        arguments = {"fused": True, **arguments}
    if name is not OptimizerName.MUON:
        return _class_of(name)(list(parameters), **shared, **arguments)
    # Vectors have nothing to make orthogonal. The adjusted rate makes a step as large as AdamW's at the same rate.
    matrices = [parameter for parameter in parameters if min(parameter.shape[0], parameter[0].numel()) > 1]
    taken = {id(parameter) for parameter in matrices}
    vectors = [parameter for parameter in parameters if id(parameter) not in taken]
    groups = [
        {"params": members, "use_muon": orthogonal, **shared}
        for members, orthogonal in ((matrices, True), (vectors, False))
        if members
    ]
    return _class_of(name)(groups, **{"use_adjusted_lr": True, **arguments})


def _class_of(name: OptimizerName) -> Any:
    source = _SOURCES[name]
    return getattr(importlib.import_module(source.module), source.name)


def _argument_names(name: OptimizerName) -> list[str]:
    signature = inspect.signature(_class_of(name))
    return [
        key
        for key, parameter in signature.parameters.items()
        if key not in _RESERVED and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]


def _require_library(name: OptimizerName) -> None:
    """Found and not imported: this runs while a graph is checked, and the libraries take seconds."""
    source = _SOURCES[name]
    if importlib.util.find_spec(source.module.partition(".")[0]) is None:
        raise SettingError(
            f"The optimizer {name.value} needs the package {source.package}, which is not installed; run "
            f"pip install {source.package}, or choose adamw."
        )
