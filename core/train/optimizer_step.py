"""One optimizer step: the forward and backward passes of an accumulation window, clipping, and the update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ..mask_weights import MaskLossSettings
from .config import TrainConfig
from .denoiser import Denoiser
from .metrics import LossPoint
from .output_preservation import preservation_loss
from .prior import prior_weight_at
from .state import TrainState
from .step import MicroResult, RegionSums, TrainedModel, micro_batch_loss, refuse_non_finite
from .token_saving import tells_outside
from .window import MicroBatch, Window


def optimizer_step(
    denoiser: Denoiser,
    state: TrainState,
    window: Window,
    settings: MaskLossSettings | None,
    config: TrainConfig,
    check: Callable[[], object],
) -> LossPoint:
    """Train on an accumulation window; the state's adapters must be attached. `check` is called before each micro-batch
    and may raise. NonFiniteLossError before anything is updated."""
    # More than once only where fp16's loss scale was too large.
    while True:
        state.zero_grad()
        loss, sums, priors, held = 0.0, RegionSums(), list[float](), list[float]()
        for micro in window.micro_batches:
            check()
            result = _backward(denoiser, state, window, micro, settings, config)
            loss, sums = loss + float(result.loss.detach()), sums + result.sums
            priors += [] if result.prior is None else [result.prior]
            held += [] if result.dop is None else [result.dop]
        grad_norm = state.clip()
        if grad_norm is not None:
            prior, dop = (sum(each) if each else None for each in (priors, held))
            apart = (window.near_zero, prior, window.tokens, sums.regularisation_mean, dop)
            return state.update(loss, *sums.means, window.coverage, grad_norm, *apart)


def _backward(
    denoiser: Denoiser,
    state: TrainState,
    window: Window,
    micro: MicroBatch,
    settings: MaskLossSettings | None,
    config: TrainConfig,
) -> MicroResult:
    prior_weight = prior_weight_at(settings, state.step, config.steps) if settings else 0.0
    model = TrainedModel(
        denoiser, state.adapters, state.teacher, config.training_dtype, config.gradient_checkpointing,
        tells_outside(state.step, config.steps),
    )  # fmt: skip
    with denoiser.autograd_context(model.checkpoint):
        result = micro_batch_loss(micro, window, model, settings, prior_weight)
        refuse_non_finite(result, micro, state.step + 1)
        state.scale_loss(result.loss).backward()
    if settings is None or micro.of_class is None:
        return result
    with denoiser.autograd_context(model.checkpoint):
        dop = preservation_loss(micro, micro.of_class, window, model, settings)
        refuse_non_finite(MicroResult(dop, RegionSums(), ()), micro, state.step + 1)
        state.scale_loss(settings.dop_weight * dop).backward()
    held = float(dop.detach())
    return replace(result, loss=result.loss.detach() + settings.dop_weight * held, dop=held)
