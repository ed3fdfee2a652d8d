"""From a mask on the latent grid to the weights that the loss uses.

Shapes: B batch, T latent frames, h, w latent grid. Weights are float32 in [0, 1]; image models have T = 1.
The order is fixed: invert → blur → gamma → floor. There is no overall scale: under a weighted mean it cancels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F

from .dataset.trigger import trigger_pairs
from .errors import SettingError, unhandled_choice
from .mask_choices import DopRegion as DopRegion
from .mask_choices import LossKind as LossKind
from .mask_choices import Normalization as Normalization
from .mask_choices import PriorDecay as PriorDecay
from .mask_choices import PriorSchedule as PriorSchedule
from .mask_choices import PriorTeacher as PriorTeacher
from .mask_choices import parse_choice, resolve_normalization


@dataclass(frozen=True)
class MaskLossSettings:
    """How masks act on the loss. Refuses to exist (SettingError) when a value is outside its range.

    gamma          w ** gamma; below 1 softer, above 1 more weight on the brightest tier.   > 0
    min_weight     floor m: w·(1−m)+m.                                                      [0, 1)
    blur           Gaussian kernel size in latent cells, odd; 0 = off.
    invert         1 − w, before everything else.
    probability    with 1 − p a sample is trained with all weights 1 (drawn for each sample).   [0, 1]
    normalization  see `core.loss.masked_loss`.
    loss           MSE, or Huber with `huber_delta` (> 0).
    area_beta      a sample's loss is multiplied by (mean weight)^beta, 0 = off.            ≥ 0
    prior_weight   weight of prior preservation outside the mask, 0 = off.                  ≥ 0
    prior_threshold  outside = untransformed weight below this; 0 = outside is 1 − processed weight.  [0, 1]
    strict         an entry without a mask is an error instead of counting fully.
    prior_teacher  what predicts outside the mask what training is held to: the base model, or the one with the
                   adapter's moving average.
    prior_schedule the schedule of prior_weight over the run's steps.
    prior_ema_decay  of the ema teacher, per optimizer step.                                 [0, 1)
    prior_min_t    prior preservation acts in samples of t above this alone, 0 = in all.     [0, 1)
    prior_decay    how its weight falls in t, from t = prior_decay_start (0 to 1, not 0) to 0 at t = 0.
    prior_warmup_steps  of a linear rise of prior_weight from 0 in the first step; 0 = off.
    prior_exclusive  with prior_threshold: where prior preservation acts, the loss itself has no weight.
    dop_weight     weight of differential output preservation: given a caption with the class noun in the trigger's
                   place, the model with the adapter is held to the base model. 0 = off.     ≥ 0
    dop_region     where: everywhere, outside (what prior preservation takes for it), or inside (the rest).
    trigger, class_noun  the word that is learnt, and what it is; with commas where there are several.
    """

    gamma: float = 1.0
    min_weight: float = 0.0
    blur: int = 0
    invert: bool = False
    probability: float = 1.0
    normalization: Normalization = Normalization.PER_SAMPLE
    loss: LossKind = LossKind.MSE
    huber_delta: float = 1.0
    area_beta: float = 0.0
    prior_weight: float = 0.0
    prior_threshold: float = 0.0
    strict: bool = False
    prior_teacher: PriorTeacher = PriorTeacher.BASE
    prior_schedule: PriorSchedule = PriorSchedule.CONSTANT
    prior_ema_decay: float = 0.999
    prior_min_t: float = 0.0
    prior_decay: PriorDecay = PriorDecay.CONSTANT
    prior_decay_start: float = 0.3
    prior_warmup_steps: int = 0
    prior_exclusive: bool = False
    dop_weight: float = 0.0
    dop_region: DopRegion = DopRegion.EVERYWHERE
    trigger: str = ""
    class_noun: str = ""

    def __post_init__(self) -> None:
        # By value too: a plain "batch" or "huber" would otherwise act as another choice without a word.
        object.__setattr__(self, "normalization", resolve_normalization(self.normalization))
        object.__setattr__(self, "loss", parse_choice(LossKind, "loss", self.loss))
        object.__setattr__(self, "prior_teacher", parse_choice(PriorTeacher, "prior_teacher", self.prior_teacher))
        object.__setattr__(self, "prior_schedule", parse_choice(PriorSchedule, "prior_schedule", self.prior_schedule))
        object.__setattr__(self, "prior_decay", parse_choice(PriorDecay, "prior_decay", self.prior_decay))
        object.__setattr__(self, "dop_region", parse_choice(DopRegion, "dop_region", self.dop_region))
        # `not (a < b)` instead of `a >= b`, so that NaN is refused too.
        if not 0 < self.gamma < math.inf:
            raise SettingError(f"mask_gamma must be > 0; found {self.gamma}")
        if not 0 <= self.min_weight < 1:
            raise SettingError(f"mask_min_weight must be in range [0, 1); found {self.min_weight}")
        if self.blur < 0 or (self.blur > 0 and self.blur % 2 == 0):
            raise SettingError(f"blur must be 0 (off) or an odd kernel size such as 3; found {self.blur}")
        if not 0 <= self.probability <= 1:
            raise SettingError(f"probability must be in range [0, 1]; found {self.probability}")
        if not 0 < self.huber_delta < math.inf:
            raise SettingError(f"huber_delta must be > 0; found {self.huber_delta}")
        if not 0 <= self.area_beta < math.inf:
            raise SettingError(f"area_beta must be 0 (off) or positive; found {self.area_beta}")
        if not 0 <= self.prior_weight < math.inf:
            raise SettingError(f"prior_weight must be 0 (off) or positive; found {self.prior_weight}")
        if not 0 <= self.prior_threshold <= 1:
            raise SettingError(f"prior_threshold must be in range [0, 1], 0 = off; found {self.prior_threshold}")
        if not 0 <= self.prior_ema_decay < 1:
            raise SettingError(f"prior_ema_decay must be in range [0, 1); found {self.prior_ema_decay}")
        if not 0 <= self.prior_min_t < 1:
            raise SettingError(f"prior_min_t must be in range [0, 1), 0 = off; found {self.prior_min_t}")
        if not 0 < self.prior_decay_start <= 1:
            raise SettingError(f"prior_decay_start must be in range (0, 1]; found {self.prior_decay_start}")
        if self.prior_warmup_steps < 0:
            raise SettingError(f"prior_warmup_steps must be 0 (off) or positive; found {self.prior_warmup_steps}")
        if not 0 <= self.dop_weight < math.inf:
            raise SettingError(f"dop_weight must be 0 (off) or positive; found {self.dop_weight}")
        if self.dop_weight > 0 and not (self.trigger.strip() and self.class_noun.strip()):
            raise SettingError(
                f"dop_weight is {self.dop_weight:g}, with trigger {self.trigger!r} and class_noun {self.class_noun!r}; "
                "it needs the word that is learnt, such as ohwx, and what that is, such as woman"
            )
        if self.dop_weight > 0:
            trigger_pairs(self.trigger, self.class_noun)
        if self.probability == 0:
            raise SettingError("probability 0 would never use the mask; leave mask_loss unconnected for plain training")

    @property
    def triggers(self) -> tuple[tuple[str, str], ...]:
        """Triggers with their class nouns; none without differential output preservation."""
        return trigger_pairs(self.trigger, self.class_noun) if self.dop_weight > 0 else ()

    def settings_without_effect(self) -> tuple[str, ...]:
        """One sentence for every setting that was changed and cannot act beside the others."""
        defaults = MaskLossSettings()
        idle: list[str] = []
        if self.huber_delta != defaults.huber_delta and self.loss is not LossKind.HUBER:
            idle.append(f"huber_delta={self.huber_delta} has no effect while loss is {self.loss.value}")
        if self.dop_weight == 0:
            for name in ("dop_region", "trigger", "class_noun"):
                if getattr(self, name) != getattr(defaults, name):
                    idle.append(f"{name}={_plain_value(getattr(self, name))} has no effect while dop_weight is 0")
        if self.prior_weight == 0:
            by_region = self.dop_weight > 0 and self.dop_region is not DopRegion.EVERYWHERE
            for name in _OF_THE_PRIOR:
                if by_region and name == "prior_threshold":
                    continue
                if getattr(self, name) != getattr(defaults, name):
                    idle.append(f"{name}={_plain_value(getattr(self, name))} has no effect while prior_weight is 0")
            return tuple(idle)
        if self.prior_ema_decay != defaults.prior_ema_decay and self.prior_teacher is not PriorTeacher.EMA:
            idle.append(f"prior_ema_decay={self.prior_ema_decay} has no effect while prior_teacher is base")
        if self.prior_decay is PriorDecay.CONSTANT and self.prior_decay_start != defaults.prior_decay_start:
            idle.append(f"prior_decay_start={self.prior_decay_start} has no effect while prior_decay is constant")
        if self.prior_exclusive and self.prior_threshold == 0:
            idle.append("prior_exclusive=True has no effect while prior_threshold is 0")
        return tuple(idle)


_OF_THE_PRIOR = (
    "prior_threshold", "prior_teacher", "prior_schedule", "prior_ema_decay", "prior_min_t", "prior_decay",
    "prior_decay_start", "prior_warmup_steps", "prior_exclusive",
)  # fmt: skip


def _plain_value(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


PRESETS: dict[str, MaskLossSettings] = {
    "person": MaskLossSettings(gamma=0.7, min_weight=0.05),
    "face": MaskLossSettings(gamma=1.5, min_weight=0.0),
    "style": MaskLossSettings(gamma=0.5, min_weight=0.1),
    "person_prior": MaskLossSettings(gamma=0.7, prior_weight=1.0, prior_threshold=0.1, prior_exclusive=True),
    "person_prior_gated": MaskLossSettings(
        gamma=0.7, prior_weight=1.0, prior_threshold=0.1, prior_exclusive=True, prior_min_t=0.3
    ),
    "all_but_face": MaskLossSettings(prior_weight=1.0, prior_threshold=0.1, prior_exclusive=True),
}
"""Settings by name. `person_prior` is what the reference system's guide of February 2026 recommends for a person with
prior preservation; `person_prior_gated` that with the timestep gate where it says to start, at timestep 300.
`all_but_face` is for masks in which face and hair are black: what a face looks like is held to the base model."""


def transform_weights(weights_B1Thw: torch.Tensor, settings: MaskLossSettings) -> torch.Tensor:
    """Weights for the loss: invert → blur → gamma `w**g` → floor `w·(1−m)+m`.

    Takes and returns (B,1,T,h,w) float32 in [0, 1]; the argument is left as it was. SettingError on another rank or
    on values outside [0, 1].
    """
    weights = _check_weights(weights_B1Thw)
    weights = _apply_invert(weights, settings)
    if settings.blur > 0:
        weights = _blur(weights, settings.blur)
    if settings.gamma != 1.0:
        weights = weights**settings.gamma
    if settings.min_weight > 0:
        weights = weights * (1.0 - settings.min_weight) + settings.min_weight
    return weights.clone() if weights is weights_B1Thw else weights


def area_scale(weights_B1Thw: torch.Tensor, settings: MaskLossSettings) -> torch.Tensor:
    """(B,) float32 factor of each sample's loss: (mean weight after invert, before blur) ** area_beta."""
    weights = _apply_invert(_check_weights(weights_B1Thw), settings)
    return weights.mean(dim=(1, 2, 3, 4)) ** settings.area_beta


def prior_region(
    untransformed_B1Thw: torch.Tensor, transformed_B1Thw: torch.Tensor, settings: MaskLossSettings
) -> torch.Tensor:
    """(B,1,T,h,w) weights of the region that prior preservation holds to the base model.

    1 − transformed, or with `prior_threshold` the cells whose untransformed weight (after invert) lies below it.
    """
    if settings.prior_threshold > 0:
        return (_apply_invert(_check_weights(untransformed_B1Thw), settings) < settings.prior_threshold).float()
    return 1.0 - transformed_B1Thw


def dop_region(outside_B1Thw: torch.Tensor, settings: MaskLossSettings) -> torch.Tensor:
    """(B,1,T,h,w) weights of differential output preservation, where `outside` is the region of prior preservation."""
    if settings.dop_region is DopRegion.EVERYWHERE:
        return torch.ones_like(outside_B1Thw)
    if settings.dop_region is DopRegion.INSIDE:
        return 1.0 - outside_B1Thw
    if settings.dop_region is DopRegion.OUTSIDE:
        return outside_B1Thw
    raise unhandled_choice(settings.dop_region)


def _check_weights(weights_B1Thw: torch.Tensor) -> torch.Tensor:
    if weights_B1Thw.ndim != 5 or weights_B1Thw.shape[1] != 1:
        raise SettingError(f"weights must have shape (B, 1, T, h, w); found {tuple(weights_B1Thw.shape)}")
    weights = weights_B1Thw.float()
    if weights.numel() and not (weights.min() >= 0 and weights.max() <= 1):
        raise SettingError(f"weights must be in [0, 1]; found {float(weights.min())} to {float(weights.max())}")
    return weights


def _apply_invert(weights_B1Thw: torch.Tensor, settings: MaskLossSettings) -> torch.Tensor:
    return 1.0 - weights_B1Thw if settings.invert else weights_B1Thw


def _blur(weights_B1Thw: torch.Tensor, kernel: int) -> torch.Tensor:
    """Gaussian per frame, sigma = 0.3((k−1)/2−1)+0.8 as OpenCV derives it, replicate padding."""
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    offset = torch.arange(kernel, dtype=torch.float32, device=weights_B1Thw.device) - (kernel - 1) / 2
    taps = torch.exp(-(offset**2) / (2 * sigma**2))
    taps = taps / taps.sum()
    batch, _, frames, height, width = weights_B1Thw.shape
    planes = weights_B1Thw.reshape(batch * frames, 1, height, width)
    planes = F.pad(planes, (kernel // 2,) * 4, mode="replicate")
    planes = F.conv2d(planes, taps.reshape(1, 1, 1, kernel))
    planes = F.conv2d(planes, taps.reshape(1, 1, kernel, 1))
    return planes.reshape(batch, 1, frames, height, width).clamp(0.0, 1.0)
