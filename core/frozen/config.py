"""How the frozen base model is kept in memory and run while a LoRA is trained in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class BasePrecision(str, Enum):
    """What the frozen weights are kept in during training; the MODEL itself stays as it is. `int8`: 8 bits and a scale
    for each output."""

    AS_LOADED = "as_loaded"
    INT8 = "int8"


@dataclass(frozen=True)
class BaseConfig:
    """`precision` of the frozen weights. Nothing here changes what a LoRA file looks like."""

    precision: BasePrecision = BasePrecision.AS_LOADED

    @property
    def holds_weights(self) -> bool:
        """Whether weights are kept otherwise than the model keeps them."""
        return self.precision is not BasePrecision.AS_LOADED

    @property
    def identity(self) -> str:
        """What a model's identity ends with; empty where the result is the same to the last bit."""
        return "" if self.precision is BasePrecision.AS_LOADED else f"-{self.precision.value}"
