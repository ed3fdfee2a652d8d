"""Mask Loss Settings, Mask Loss Preset, LoRA Config, Optimizer: settings on wires."""

from __future__ import annotations

from typing import Any

from ..core import mask_weights
from ..core.mask_weights import DopRegion, LossKind, Normalization, PriorDecay, PriorSchedule, PriorTeacher
from ..core.train.config import Algorithm, LoraConfig, OptimizerConfig, Schedule
from ..core.train.optimizers import OptimizerName, parse_optimizer_args
from .checks import verdict
from .node import Node
from .sockets import BOOLEAN, COMBO, FLOAT, INT, LORA_CONFIG, LOSS_SETTINGS, OPTIMIZER, RARE, STRING


class MaskLossSettings(Node):
    TITLE = "Mask Loss Settings"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "How masks weight the training loss."
    SEARCH_ALIASES = ("masked loss", "mask weighted loss", "masked training", "gamma")
    RETURN_TYPES = (LOSS_SETTINGS,)
    RETURN_NAMES = ("mask_loss",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "optional": {
                "gamma": FLOAT(1.0, 0.01, 10, 0.05, "w ** gamma. Below 1 lifts the lower tiers, above 1 presses them."),
                "min_weight": FLOAT(0.0, 0, 0.99, 0.005, "The least weight anywhere: w·(1−m)+m."),
                "blur": RARE(INT(0, 0, 99, "Gaussian kernel in latent cells, odd; 0 = off.")),
                "invert": RARE(BOOLEAN(False, "Train on what the mask leaves out.")),
                "probability": RARE(
                    FLOAT(1.0, 0.01, 1, 0.05, "How often the mask counts; otherwise everything counts fully.")
                ),
                "normalization": COMBO(Normalization, "What the weighted error is divided by."),
                "loss": COMBO(LossKind, "Squared error, or Huber, which is milder to outliers."),
                "huber_delta": RARE(FLOAT(1.0, 0.001, 100, 0.005, "Where Huber turns from square to straight.")),
                "area_beta": RARE(FLOAT(0.0, 0, 4, 0.05, "Multiplies a sample's loss by (mean weight)^beta; 0 = off.")),
                "prior_weight": FLOAT(0.0, 0, 100, 0.05, "Holds what lies outside to the teacher; 0 = off."),
                "prior_threshold": RARE(
                    FLOAT(0.0, 0, 1, 0.01, "Outside = weight below this; 0 = one minus the weight.")
                ),
                "strict": RARE(BOOLEAN(False, "A picture without a mask is an error instead of counting fully.")),
                "prior_teacher": RARE(COMBO(PriorTeacher, "The base model, or the LoRA's own moving average.")),
                "prior_schedule": RARE(
                    COMBO(PriorSchedule, "prior_weight as it is, rising to it, or falling from it to 0.")
                ),
                "prior_ema_decay": RARE(
                    FLOAT(0.999, 0, 0.99999, 0.00001, "How slowly the ema teacher follows, per step.")
                ),
                "prior_min_t": RARE(
                    FLOAT(0.0, 0, 0.99, 0.01, "Prior preservation acts above this t alone; 0 = at every t.")
                ),
                "prior_decay": RARE(
                    COMBO(PriorDecay, "How prior_weight falls to 0 at t = 0, below prior_decay_start.")
                ),
                "prior_decay_start": RARE(FLOAT(0.3, 0.01, 1, 0.01, "The t below which prior_decay lets it fall.")),
                "prior_warmup_steps": RARE(INT(0, 0, 1_000_000, "Steps in which prior_weight rises from 0; 0 = off.")),
                "prior_exclusive": RARE(BOOLEAN(False, "With prior_threshold: what is held outside is not learnt.")),
                "dop_weight": RARE(FLOAT(0.0, 0, 100, 0.05, "Holds the trigger's class to the base model; 0 = off.")),
                "dop_region": RARE(COMBO(DopRegion, "Where dop_weight acts.")),
                "trigger": RARE(STRING("", "For dop_weight: the word that is learnt, such as ohwx.")),
                "class_noun": RARE(STRING("", "For dop_weight: what the trigger is, such as woman.")),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls,
        gamma: float | None = None,
        min_weight: float | None = None,
        blur: int | None = None,
    ) -> bool | str:
        # ComfyUI repeats the sentence at every input that is named here; the others' ranges are in their declarations.
        given = {name: value for name, value in locals().items() if name != "cls" and value is not None}
        return verdict(lambda: mask_weights.MaskLossSettings(**given))

    def run(
        self,
        gamma: float = 1.0,
        min_weight: float = 0.0,
        blur: int = 0,
        invert: bool = False,
        probability: float = 1.0,
        normalization: str = "per_sample",
        loss: str = "mse",
        huber_delta: float = 1.0,
        area_beta: float = 0.0,
        prior_weight: float = 0.0,
        prior_threshold: float = 0.0,
        strict: bool = False,
        prior_teacher: str = "base",
        prior_schedule: str = "constant",
        prior_ema_decay: float = 0.999,
        prior_min_t: float = 0.0,
        prior_decay: str = "constant",
        prior_decay_start: float = 0.3,
        prior_warmup_steps: int = 0,
        prior_exclusive: bool = False,
        dop_weight: float = 0.0,
        dop_region: str = "everywhere",
        trigger: str = "",
        class_noun: str = "",
    ) -> tuple[mask_weights.MaskLossSettings]:
        return (
            mask_weights.MaskLossSettings(
                gamma=gamma,
                min_weight=min_weight,
                blur=blur,
                invert=invert,
                probability=probability,
                normalization=Normalization(normalization),
                loss=LossKind(loss),
                huber_delta=huber_delta,
                area_beta=area_beta,
                prior_weight=prior_weight,
                prior_threshold=prior_threshold,
                strict=strict,
                prior_teacher=PriorTeacher(prior_teacher),
                prior_schedule=PriorSchedule(prior_schedule),
                prior_ema_decay=prior_ema_decay,
                prior_min_t=prior_min_t,
                prior_decay=PriorDecay(prior_decay),
                prior_decay_start=prior_decay_start,
                prior_warmup_steps=prior_warmup_steps,
                prior_exclusive=prior_exclusive,
                dop_weight=dop_weight,
                dop_region=DopRegion(dop_region),
                trigger=trigger,
                class_noun=class_noun,
            ),
        )


class MaskLossSettingsPreset(Node):
    TITLE = "Mask Loss Preset"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = (
        "person: gamma 0.7, floor 0.05. face: 1.5 and 0. style: 0.5 and 0.1. person_prior: 0.7 and 0, with the "
        "background held to the base model. all_but_face: 1 and 0, likewise."
    )
    SEARCH_ALIASES = ("masked loss", "mask weighted loss", "masked training")
    RETURN_TYPES = (LOSS_SETTINGS,)
    RETURN_NAMES = ("mask_loss",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"preset": COMBO(mask_weights.PRESETS, "What the LoRA is to learn.")}}

    def run(self, preset: str) -> tuple[mask_weights.MaskLossSettings]:
        return (mask_weights.PRESETS[preset],)


class MaskLossLoraConfig(Node):
    TITLE = "LoRA Config"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "The adapter that is trained."
    SEARCH_ALIASES = ("lora rank", "network dim", "network alpha")
    RETURN_TYPES = (LORA_CONFIG,)
    RETURN_NAMES = ("lora_config",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "optional": {
                "rank": INT(16, 1, 1024, "Rank of the two matrices."),
                "alpha": FLOAT(16.0, 0.01, 4096, 0.05, "The adapter is multiplied by alpha / rank."),
                "targets": STRING("", "Regular expression over module names; empty = the model's usual layers."),
                "dropout": RARE(
                    FLOAT(0.0, 0, 0.99, 0.01, "Chance that an input value of the adapter is zeroed in a step.")
                ),
                "algorithm": COMBO(Algorithm, "How the adapter is built."),
                "conv": RARE(BOOLEAN(False, "Adapters on convolutions too.")),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, targets: str | None = None) -> bool | str:
        return verdict(lambda: LoraConfig(targets=targets or ""))

    def run(
        self,
        rank: int = 16,
        alpha: float = 16.0,
        targets: str = "",
        dropout: float = 0.0,
        algorithm: str = "lora",
        conv: bool = False,
    ) -> tuple[LoraConfig]:
        return (LoraConfig(rank, alpha, targets, dropout, Algorithm(algorithm), conv),)


class MaskLossOptimizer(Node):
    TITLE = "Optimizer"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "How the adapter's weights are updated."
    SEARCH_ALIASES = ("adamw", "learning rate", "scheduler", "warmup", "ema")
    RETURN_TYPES = (OPTIMIZER,)
    RETURN_NAMES = ("optimizer",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "optional": {
                "name": COMBO(OptimizerName, "The optimizer."),
                "learning_rate": FLOAT(1e-4, 1e-9, 100, 1e-7, "The learning rate after warm-up; for prodigy 1."),
                "weight_decay": FLOAT(0.01, 0, 10, 0.0001, "Decoupled weight decay."),
                "lr_scheduler": COMBO(Schedule, "How the learning rate goes to the last step."),
                "warmup_steps": INT(0, 0, 1_000_000, "Steps of a linear rise to the learning rate."),
                "max_grad_norm": RARE(FLOAT(1.0, 0, 1000, 0.05, "Gradients are clipped to this norm; 0 = off.")),
                "ema_decay": RARE(FLOAT(0.0, 0, 0.99999, 0.00001, "The saved LoRA is a moving average; 0 = off.")),
                "optimizer_args": RARE(STRING("", "key=value pairs for the optimizer, such as betas=(0.9, 0.99).")),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, name: str | None = None, optimizer_args: str | None = None) -> bool | str:
        if name is not None and name not in [option.value for option in OptimizerName]:
            return f"name is {name!r}, expected one of {', '.join(repr(option.value) for option in OptimizerName)}"
        if name is None or optimizer_args is None:
            return True
        # What an optimizer says to a learning rate or a schedule is for the run: naming those here too would put one
        # sentence at every input.
        return verdict(lambda: parse_optimizer_args(OptimizerName(name), optimizer_args))

    def run(
        self,
        name: str = "adamw",
        learning_rate: float = 1e-4,
        weight_decay: float = 0.01,
        lr_scheduler: str = "constant",
        warmup_steps: int = 0,
        max_grad_norm: float = 1.0,
        ema_decay: float = 0.0,
        optimizer_args: str = "",
    ) -> tuple[OptimizerConfig]:
        rates = (learning_rate, weight_decay)
        schedule = (Schedule(lr_scheduler), warmup_steps, max_grad_norm, ema_decay)
        return (OptimizerConfig(OptimizerName(name), *rates, *schedule, optimizer_args),)


NODES = (MaskLossSettings, MaskLossSettingsPreset, MaskLossLoraConfig, MaskLossOptimizer)
