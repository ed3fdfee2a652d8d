"""Optimizers by name, and their arguments from a line of text."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch

from ..errors import SettingError


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
        construct_optimizer(name, [torch.nn.Parameter(torch.zeros(2, 2))], 1e-3, 0.0, values)
    except (ValueError, TypeError, RuntimeError) as problem:
        raise SettingError(f"optimizer_args {text!r} is refused by {name.value}: {problem}") from problem
    return values


def construct_optimizer(
    name: OptimizerName,
    parameters: Sequence[torch.nn.Parameter],
    learning_rate: float,
    weight_decay: float,
    arguments: Mapping[str, OptimizerArgument],
) -> torch.optim.Optimizer:
    """The optimizer `name` over `parameters`, with its own `arguments`; ValueError, TypeError or RuntimeError when it
    refuses them."""
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
