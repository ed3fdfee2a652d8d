"""The losses of other trainers as their sources publish them, and the loop that trains with any such loss.

B samples, C channels, T = 1, h, w latent grid. `loss` is the squared error (B,C,T,h,w), `mask` (B,1,T,h,w) in [0, 1],
`drift` the squared difference from the base model's prediction with the same noise, timestep and caption, (B,C,T,h,w),
or None, `t` (B,) with 1 = noise. A formula returns the scalar that is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from maskloss.core.loss import elementwise_error, masked_loss
from maskloss.core.mask_weights import MaskLossSettings, Normalization
from maskloss.core.train.denoiser import Denoiser
from maskloss.core.train.order import TrainingOrder
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.train.state import TrainState
from maskloss.core.train.window import MicroBatch, Window, plan_window

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Formula:
    """A loss, and whether it looks at `drift`."""

    loss: Loss
    prior: bool = False


def plain_mean(loss: torch.Tensor, mask: torch.Tensor, _drift: torch.Tensor | None, _t: torch.Tensor) -> torch.Tensor:
    """mean(l·m): sd-scripts (`apply_masked_loss`), SimpleTuner and diffusion-pipe."""
    return (loss * mask).mean()


@dataclass(frozen=True)
class OneTrainer:
    """OneTrainer's `masked_losses_with_prior`: l·c with c = max(m, unmasked_weight), by its mean per sample where
    asked, plus prior_weight · drift · (1−c), by its mean per sample likewise; then the mean."""

    unmasked_weight: float
    normalize_area: bool
    prior_weight: float

    def __call__(
        self, loss: torch.Tensor, mask: torch.Tensor, drift: torch.Tensor | None, _t: torch.Tensor
    ) -> torch.Tensor:
        inside = mask.clamp(self.unmasked_weight, 1)
        total = _by_area(loss * inside, inside) if self.normalize_area else loss * inside
        if drift is None or self.prior_weight == 0:
            return total.mean()
        outside = 1 - inside
        held = self.prior_weight * drift * outside
        return (total + (_by_area(held, outside) if self.normalize_area else held)).mean()


@dataclass(frozen=True)
class AiToolkit:
    """ai-toolkit: l·m/mean(m) with the mean over the whole batch; with `inverted_mask_prior` plus prior_multiplier ·
    drift · (1−m)/mean(1−m), likewise over the batch."""

    prior_multiplier: float

    def __call__(
        self, loss: torch.Tensor, mask: torch.Tensor, drift: torch.Tensor | None, _t: torch.Tensor
    ) -> torch.Tensor:
        total = (loss * mask / mask.mean()).mean()
        if drift is None or self.prior_multiplier == 0:
            return total
        outside = 1 - mask
        return total + self.prior_multiplier * (drift * outside / outside.mean()).mean()


@dataclass(frozen=True)
class GatedPrior:
    """Ours, with prior preservation in the noisier half of the timesteps alone (t ≥ 0.5), or in the other half."""

    prior_weight: float
    noisy: bool

    def __call__(
        self, loss: torch.Tensor, mask: torch.Tensor, drift: torch.Tensor | None, t: torch.Tensor
    ) -> torch.Tensor:
        own = masked_loss(loss, mask)
        if drift is None:
            return own
        open_B = ((t >= 0.5) == self.noisy).to(drift)
        return own + self.prior_weight * masked_loss(drift, 1 - mask, Normalization.PER_SAMPLE, open_B)


def train_with_formula(denoiser: Denoiser, recipe: TrainingRecipe, formula: Formula) -> dict[str, torch.Tensor]:
    """The pack's training with another loss: same order, noise, timesteps, adapter, optimizer. Nothing is written.

    With the pack's own loss it gives the pack's own LoRA to the last bit. A step is one batch.
    """

    def backward(window: Window, state: TrainState) -> float:
        loss = loss_of(window.micro_batches[0], denoiser, state, formula)
        state.scale_loss(loss).backward()
        return float(loss.detach())

    return train_with(denoiser, recipe, backward)


def train_with(
    denoiser: Denoiser, recipe: TrainingRecipe, backward: Callable[[Window, TrainState], float]
) -> dict[str, torch.Tensor]:
    """The pack's training, but for `backward`, which leaves a batch's gradients and returns its loss."""
    config, entries = recipe.config, recipe.cache.entries
    order, state = TrainingOrder.of(entries, config), TrainState(denoiser, recipe)
    with state.adapters.attach():
        while state.step < config.steps:
            batch = order.batch(state.step)
            window = plan_window([batch], recipe.cache, entries, recipe.settings, config, denoiser)
            state.zero_grad()
            loss = backward(window, state)
            norm = state.clip()
            state.update(loss, None, None, window.coverage, norm or 0.0, ())
    return state.adapters.state_dict(state.result_values)


def loss_of(micro: MicroBatch, denoiser: Denoiser, state: TrainState, formula: Formula) -> torch.Tensor:
    """The formula's scalar for a batch, with its graph."""
    clean = denoiser.normalise(micro.raw_BCThw)
    inputs = (clean, micro.noise_BCThw, micro.t_B, micro.text, False)
    teacher_residual = None
    if formula.prior:
        with state.teacher.forward_context():
            teacher_residual = denoiser.predict(*inputs)
    residual = denoiser.predict(*inputs)
    loss = elementwise_error(residual, MaskLossSettings())
    drift = None if teacher_residual is None else elementwise_error(residual - teacher_residual, MaskLossSettings())
    return formula.loss(loss, micro.weights_B1Thw, drift, micro.t_B)


def _by_area(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return values / mask.mean(dim=(1, 2, 3, 4), keepdim=True)
