"""The choices of the loss settings."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from .errors import SettingError


class Normalization(str, Enum):
    """What the weighted error is divided by; see `core.loss.masked_loss`."""

    PER_SAMPLE = "per_sample"
    BATCH = "batch"
    NONE = "none"


class LossKind(str, Enum):
    """How a residual becomes an error per element."""

    MSE = "mse"
    HUBER = "huber"


class PriorTeacher(str, Enum):
    """What prior preservation holds the outside to: the base model, or the average of the adapter so far."""

    BASE = "base"
    EMA = "ema"


class PriorSchedule(str, Enum):
    """The schedule of `prior_weight` over the run: constant, rising linearly from 0, or falling linearly to 0."""

    CONSTANT = "constant"
    RISE = "rise"
    FALL = "fall"


class PriorDecay(str, Enum):
    """The weight of prior preservation below `prior_decay_start`: constant, or falling to 0 at t = 0."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"


class DopRegion(str, Enum):
    """Where differential output preservation acts: everywhere, or inside or outside the mask."""

    EVERYWHERE = "everywhere"
    INSIDE = "inside"
    OUTSIDE = "outside"


Choice = TypeVar("Choice", Normalization, LossKind, PriorTeacher, PriorSchedule, PriorDecay, DopRegion)


def resolve_normalization(value: Normalization | str) -> Normalization:
    """The normalisation that `value` names. SettingError for another."""
    return parse_choice(Normalization, "normalization", value)


def parse_choice(choices: type[Choice], name: str, value: Choice | str) -> Choice:
    """The choice that `value` names for the setting `name`. SettingError for another."""
    try:
        return choices(value)
    except ValueError:
        options = ", ".join(choice.value for choice in choices)
        raise SettingError(f"{name} must be one of {options}; found {value!r}") from None
