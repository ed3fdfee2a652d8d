"""The settings of a training run. Every class refuses to exist (SettingError) when a value is outside its range."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import Enum

from ..errors import SettingError
from .optimizers import OptimizerName, parse_optimizer_args


class Algorithm(str, Enum):
    """How an adapter is built; `core/train/algorithms.py` has the formulas."""

    LORA = "lora"
    DORA = "dora"
    LOHA = "loha"
    LOKR = "lokr"


class Schedule(str, Enum):
    """How the learning rate goes from its full value (after warm-up) to the last step."""

    CONSTANT = "constant"
    LINEAR = "linear"
    COSINE = "cosine"


class TimestepSampling(str, Enum):
    """Distribution of t before `timestep_min` and `timestep_max`: even, a sigmoid of a normal draw, or that with the
    model's own shift."""

    UNIFORM = "uniform"
    LOGIT_NORMAL = "logit_normal"
    SHIFT = "shift"


class OnExisting(str, Enum):
    """What happens when the output name has been used before."""

    RESUME = "resume"
    NEW = "new"
    OVERWRITE = "overwrite"


class TrainingDtype(str, Enum):
    """Compute dtype of the model. `auto` is bf16 on a CUDA device that has it, else fp32; fp16 trains with a
    scaled loss."""

    AUTO = "auto"
    BF16 = "bf16"
    FP32 = "fp32"
    FP16 = "fp16"


class LoraDtype(str, Enum):
    """Dtype of the trained parameters and of the saved file."""

    FP32 = "fp32"
    BF16 = "bf16"


@dataclass(frozen=True)
class LoraConfig:
    """The adapter. `targets` is a regular expression searched in module names; empty means the model's default layers.

    The adapter's output is multiplied by alpha / rank. `dropout` is the chance that an adapter's input value is zeroed
    in a step. `conv` adds the convolutions whose names match.
    """

    rank: int = 16
    alpha: float = 16.0
    targets: str = ""
    dropout: float = 0.0
    algorithm: Algorithm = Algorithm.LORA
    conv: bool = False

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise SettingError(f"The LoRA rank must be at least 1; found {self.rank}.")
        _positive("alpha", self.alpha)
        _fraction("dropout", self.dropout)
        try:
            re.compile(self.targets)
        except re.error as problem:
            raise SettingError(
                f"targets is no regular expression: {self.targets!r} ({problem}); give one such as 'attn|mlp'."
            ) from problem


@dataclass(frozen=True)
class OptimizerConfig:
    """How the adapter's weights are updated.

    `learning_rate` after warm-up (for prodigy a factor of its own, 1.0), `warmup_steps` of a linear rise to it;
    `max_grad_norm` 0 = no clipping; `ema_decay` 0 = off, else the saved LoRA is the moving average; `optimizer_args`
    are `key=value` pairs for the optimizer itself, such as `betas=(0.9, 0.99) eps=1e-6`. SettingError also when the
    optimizer's library is missing, or a setting means nothing to it.
    """

    name: OptimizerName = OptimizerName.ADAMW
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    lr_scheduler: Schedule = Schedule.CONSTANT
    warmup_steps: int = 0
    max_grad_norm: float = 1.0
    ema_decay: float = 0.0
    optimizer_args: str = ""

    def __post_init__(self) -> None:
        _positive("learning_rate", self.learning_rate)
        _not_negative("weight_decay", self.weight_decay)
        _not_negative("warmup_steps", self.warmup_steps)
        _not_negative("max_grad_norm", self.max_grad_norm)
        _fraction("ema_decay", self.ema_decay)
        if self.name is OptimizerName.PRODIGY and self.learning_rate < 0.1:
            raise SettingError(
                "prodigy finds the learning rate itself and multiplies it by learning_rate; found "
                f"{self.learning_rate}, with which it would learn next to nothing: give 1.0."
            )
        if self.name is OptimizerName.SCHEDULE_FREE_ADAMW:
            if self.lr_scheduler.value != "constant":
                raise SettingError(
                    f"schedule_free_adamw stands in place of a schedule; found lr_scheduler {self.lr_scheduler.value}: "
                    "choose constant (warmup_steps may stay)."
                )
            if self.ema_decay > 0:
                raise SettingError(
                    "schedule_free_adamw averages the weights itself; found ema_decay "
                    f"{self.ema_decay}: set it to 0, or choose another optimizer."
                )
        parse_optimizer_args(self.name, self.optimizer_args)


@dataclass(frozen=True)
class TrainConfig:
    """The run. `steps` counts optimizer steps in all; t = timestep / 1000 after the shift, 1 = noise.

    The drawn t is rescaled to [`timestep_min`, `timestep_max`]. `validation_split` is a fraction of the source
    photographs. `save_every` 0 = only at the end. `min_snr_gamma` 0 = off, for eps and v models only.
    `background_tokens` is the fraction of the background's tokens that pass through the middle blocks; 1 = off.
    """

    steps: int = 1000
    batch_size: int = 1
    gradient_accumulation_steps: int = 1
    seed: int = 0
    timestep_sampling: TimestepSampling = TimestepSampling.UNIFORM
    timestep_min: float = 0.0
    timestep_max: float = 1.0
    gradient_checkpointing: bool = True
    caption_dropout: float = 0.0
    validation_split: float = 0.0
    save_every: int = 0
    on_existing: OnExisting = OnExisting.RESUME
    training_dtype: TrainingDtype = TrainingDtype.AUTO
    lora_dtype: LoraDtype = LoraDtype.FP32
    min_snr_gamma: float = 0.0
    background_tokens: float = 1.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise SettingError(f"{name} must be at least 1; found {getattr(self, name)}.")
        if not 0 <= self.timestep_min < self.timestep_max <= 1:
            raise SettingError(
                "timestep_min must be below timestep_max, both in range [0, 1]; found "
                f"{self.timestep_min} and {self.timestep_max}."
            )
        if not 0 <= self.caption_dropout <= 1:
            raise SettingError(f"caption_dropout must be in range [0, 1]; found {self.caption_dropout}.")
        _fraction("validation_split", self.validation_split)
        _not_negative("seed", self.seed)
        _not_negative("save_every", self.save_every)
        _not_negative("min_snr_gamma", self.min_snr_gamma)
        check_background_tokens(self.background_tokens)


def check_background_tokens(fraction: float) -> None:
    """SettingError for a fraction outside (0, 1]."""
    if not 0 < fraction <= 1:
        raise SettingError(
            f"background_tokens must be in range (0, 1], 1 = off; found {fraction}. It is the fraction of the "
            "background's tokens that pass through the middle blocks in a step, such as 0.1."
        )


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise SettingError(f"{name} must be > 0; found {value}.")


def _not_negative(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise SettingError(f"{name} must be 0 (off) or positive; found {value}.")


def _fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise SettingError(f"{name} must be in range [0, 1); found {value}.")
