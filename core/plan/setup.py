"""What a memory plan is asked for, and the single changes that would need less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ..errors import SettingError
from ..frozen.config import BaseConfig, BasePrecision
from ..train.config import LoraDtype
from .trial import RunSettings

# Sides of pictures, in pixels, that a change falls back to.
_SIDES = (1024, 768, 512)
_STEP_PX = 16
_AS_LOADED = BaseConfig()
# Of the frozen weights.
SMALLER = (BasePrecision.INT8, BasePrecision.NVFP4)


class Weights(str, Enum):
    """The dtype that the frozen weights are kept in; `model` is the MODEL's own, or bf16 where there is none."""

    MODEL = "model"
    BF16 = "bf16"
    FP16 = "fp16"
    FP32 = "fp32"
    FP8 = "fp8"


@dataclass(frozen=True)
class Setup:
    """A training run on pictures or clips of one size: (width, height) in pixels, and frames."""

    run: RunSettings
    size: tuple[int, int]
    frames: int = 1
    weights: Weights = Weights.MODEL
    base: BaseConfig = _AS_LOADED

    def __post_init__(self) -> None:
        if min(self.size) < _STEP_PX or self.frames < 1:
            raise SettingError(
                f"A plan is for pictures of at least {_STEP_PX}x{_STEP_PX} pixels and 1 frame; found "
                f"{self.size[0]}x{self.size[1]} and {self.frames}."
            )

    @property
    def words(self) -> str:
        """Its settings in a line."""
        config = self.run.config
        parts = [f"{self.size[0]}x{self.size[1]}", *([f"{self.frames} frames"] if self.frames > 1 else [])]
        parts += [f"batch {config.batch_size}", f"rank {self.run.lora.rank} {self.run.lora.algorithm.value}"]
        parts += [f"checkpointing {'on' if config.gradient_checkpointing else 'off'}", self.run.optimizer.name.value]
        parts += [] if self.weights is Weights.MODEL else [f"weights {self.weights.value}"]
        held = self.base.precision is not BasePrecision.AS_LOADED
        parts += [f"base_precision {self.base.precision.value}"] if held else []
        swapped = self.base.blocks_in_main_memory
        parts += [f"{swapped} blocks in main memory"] if swapped else []
        peers = self.base.peers
        parts += [f"blocks sharded over {peers.size} devices"] if peers is not None else []
        parts += ["compiled, planned as if it were not"] if self.base.compile_blocks else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Change:
    """One setting changed: `words` say to what."""

    words: str
    setup: Setup

    @property
    def setting(self) -> str:
        """Which one it is."""
        first, *others = self.words.split()
        return others[-1] if first.isdigit() else first


def single_changes(setup: Setup, precisions: Sequence[BasePrecision] = SMALLER, blocks: int = 0) -> Iterator[Change]:
    """What needs less memory, one setting at a time: first what costs time alone, last what changes what is learnt.
    `precisions`: of the frozen weights, the largest first; `blocks`: how many can be in main memory."""
    precisions = () if setup.weights is Weights.FP8 else precisions
    run, config = setup.run, setup.run.config
    if not config.gradient_checkpointing:
        yield Change("gradient_checkpointing on", with_checkpointing(setup))
    if config.batch_size > 1:
        steps = config.gradient_accumulation_steps * config.batch_size
        changed = _with_config(setup, batch_size=1, gradient_accumulation_steps=steps)
        yield Change(f"batch_size 1, gradient_accumulation_steps {steps}", changed)
    for swapped in (blocks // 2, blocks):
        # Two are on the device anyway.
        if swapped > max(2, setup.base.blocks_in_main_memory):
            base = replace(setup.base, blocks_in_main_memory=swapped)
            yield Change(f"blocks_in_main_memory {swapped}", replace(setup, base=base))
    now = setup.base.precision
    for precision in precisions[precisions.index(now) + 1 if now in precisions else 0 :]:
        yield Change(f"base_precision {precision.value}", replace(setup, base=replace(setup.base, precision=precision)))
    if config.lora_dtype is not LoraDtype.BF16:
        yield Change("lora_dtype bf16", _with_config(setup, lora_dtype=LoraDtype.BF16))
    if run.lora.rank > 16:
        lora = replace(run.lora, rank=16)
        yield Change("rank 16", replace(setup, run=replace(run, lora=lora)))
    if setup.frames > 1:
        fewer = max(1, (setup.frames - 1) // 2 // 4 * 4 + 1)
        yield Change(f"{fewer} frames", replace(setup, frames=fewer))
    for side in _SIDES:
        size = _smaller(setup.size, side)
        if size is not None:
            yield Change(f"pictures of {size[0]}x{size[1]}", replace(setup, size=size))


def _smaller(size: tuple[int, int], side: int) -> tuple[int, int] | None:
    """The size with the area of a square of `side`, its shape kept; None where it is no smaller."""
    factor = side / (size[0] * size[1]) ** 0.5
    if factor > 0.99:
        return None
    width, height = (max(_STEP_PX, round(each * factor / _STEP_PX) * _STEP_PX) for each in size)
    return width, height


def with_checkpointing(setup: Setup) -> Setup:
    """The same with gradient checkpointing."""
    return _with_config(setup, gradient_checkpointing=True)


def _with_config(setup: Setup, **changes: object) -> Setup:
    config = replace(setup.run.config, **changes)  # pyright: ignore[reportArgumentType]
    return replace(setup, run=replace(setup.run, config=config))
