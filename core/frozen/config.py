"""How the frozen base model is kept in memory and run while a LoRA is trained in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ..errors import SettingError, TrainingError
from .sharded_blocks import Peers


class BasePrecision(str, Enum):
    """What the frozen weights are kept in during training; the MODEL itself stays as it is. `int8`: 8 bits and a scale
    for each output. `nvfp4`: ComfyUI's own 4 bits for linear layers of the repeated blocks, `int8` for the rest."""

    AS_LOADED = "as_loaded"
    INT8 = "int8"
    NVFP4 = "nvfp4"


@dataclass(frozen=True)
class BaseConfig:
    """`precision` of the frozen weights; how many of the repeated blocks have theirs in main memory, from where they
    are brought onto the device as they are needed; whether these blocks are compiled; the processes over which the
    repeated blocks on the device are sharded, where they are. Nothing here changes what a LoRA file looks like."""

    precision: BasePrecision = BasePrecision.AS_LOADED
    blocks_in_main_memory: int = 0
    compile_blocks: bool = False
    peers: Peers | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.blocks_in_main_memory < 0:
            raise SettingError(
                f"blocks_in_main_memory must be 0 (none) or a number of blocks; found {self.blocks_in_main_memory}."
            )

    @property
    def holds_weights(self) -> bool:
        """Whether weights are kept otherwise than the model keeps them."""
        is_sharded = self.peers is not None
        return self.precision is not BasePrecision.AS_LOADED or self.blocks_in_main_memory > 0 or is_sharded

    @property
    def identity(self) -> str:
        """What a model's identity ends with; empty where the result is the same to the last bit."""
        held = "" if self.precision is BasePrecision.AS_LOADED else f"-{self.precision.value}"
        return f"{held}-compiled" if self.compile_blocks else held

    def swapped(self, total: int, model: str) -> tuple[int, ...]:
        """Which of a model's `total` repeated blocks, counted from 0, are in main memory: spread evenly, so that one
        can be brought while others run. TrainingError, with the model's name, where it has fewer."""
        count = self.blocks_in_main_memory
        if count > total:
            raise TrainingError(
                f"blocks_in_main_memory is {count}, but {model} has {total} repeated blocks; set it to at most {total}."
            )
        return tuple((2 * index + 1) * total // (2 * count) for index in range(count))
