"""The ways to train that the card benchmark measures, by part, and the time that each part has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.plan.setup import Setup, Weights
from maskloss.core.plan.trial import RunSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype

_TINY_PX = 64


@dataclass(frozen=True)
class Case:
    """One way to train a model. `swapped` is the fraction of its blocks in main memory."""

    weights: Weights = Weights.BF16
    precision: BasePrecision = BasePrecision.AS_LOADED
    swapped: float = 0.0
    compiled: bool = False
    batch: int = 1
    side: int = 1024
    rank: int = 64

    @property
    def words(self) -> str:
        """For people."""
        held = f" kept in {self.precision.value}" if self.precision is not BasePrecision.AS_LOADED else ""
        parts = [f"{self.weights.value}{held} batch {self.batch}"]
        parts += ["compiled"] if self.compiled else []
        parts += [f"{self.swapped:.0%} of the blocks in main memory"] if self.swapped else []
        return ", ".join(parts)

    def base(self, blocks: int) -> BaseConfig:
        """For a model with so many repeated blocks."""
        return BaseConfig(self.precision, round(self.swapped * blocks), self.compiled)

    def setup(self, blocks: int, tiny: bool, on_card: bool) -> Setup:
        """Everything that its memory depends on."""
        dtype = TrainingDtype.BF16 if on_card else TrainingDtype.FP32
        rank = 4 if tiny else self.rank
        config = TrainConfig(batch_size=self.batch, training_dtype=dtype)
        run = RunSettings(LoraConfig(rank=rank, alpha=rank), OptimizerConfig(), config)
        side = _TINY_PX if tiny else self.side
        return Setup(run, (side, side), 1, self.weights, self.base(blocks))


@dataclass(frozen=True)
class Part:
    """What is measured in one process, in this order, within `seconds`."""

    seconds: int
    cases: tuple[Case, ...]


_INT8 = BasePrecision.INT8
PARTS: Mapping[str, Part] = {
    "agreement": Part(70, ()),
    "krea-2": Part(
        150,
        (
            Case(),
            Case(batch=4),
            Case(precision=_INT8),
            Case(weights=Weights.FP8),
            Case(compiled=True),
            Case(precision=BasePrecision.NVFP4),
        ),
    ),
    "z-image": Part(50, (Case(precision=_INT8), Case())),
    "sdxl": Part(40, (Case(rank=32), Case(rank=32, precision=_INT8))),
    "flux-1-dev": Part(50, (Case(rank=32), Case(rank=32, precision=_INT8))),
    "wan2.2-14b": Part(
        160,
        tuple(
            Case(weights, precision, swapped, side=512, rank=32)
            for weights, precision in (
                (Weights.BF16, BasePrecision.AS_LOADED),
                (Weights.BF16, _INT8),
                (Weights.FP8, BasePrecision.AS_LOADED),
            )
            for swapped in (0.0, 0.5, 1.0)
        ),
    ),
}
"""By name; a model's, but for the first. Each may take so long at most, together 520 seconds."""
