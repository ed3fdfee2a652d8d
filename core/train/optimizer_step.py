"""One optimizer step: the forward and backward passes of an accumulation window, clipping, and the update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..mask_weights import MaskLossSettings
from .config import TrainConfig
from .denoiser import Denoiser
from .metrics import LossPoint
from .output_preservation import preservation_loss
from .prior import prior_weight_at
from .ranks import ALONE, Ranks
from .state import TrainState
from .step import MicroResult, RegionSums, TrainedModel, micro_batch_loss, refuse_non_finite
from .token_saving import tells_outside
from .window import MicroBatch, Window

# Of the numbers that the ranks sum in a step, those that are no person's.
_OF_ALL = 12


@dataclass(frozen=True)
class _Part:
    """A part of the loss that not every micro-batch has: its sum, and how many have one."""

    sum: float = 0.0
    count: float = 0.0

    def add(self, value: float | None) -> _Part:
        return self if value is None else _Part(self.sum + value, self.count + 1)

    @property
    def value(self) -> float | None:
        return self.sum if self.count else None


@dataclass(frozen=True)
class _StepSums:
    """What is summed over a window's micro-batches, in all ranks: the loss, the sums by region, and the losses of prior
    and output preservation."""

    loss: float = 0.0
    regions: RegionSums = field(default_factory=RegionSums)
    prior: _Part = field(default_factory=_Part)
    dop: _Part = field(default_factory=_Part)

    def add(self, result: MicroResult) -> _StepSums:
        loss = self.loss + float(result.loss.detach())
        return _StepSums(loss, self.regions + result.sums, self.prior.add(result.prior), self.dop.add(result.dop))

    def over(self, ranks: Ranks, people: Sequence[str]) -> _StepSums:
        """Those of all ranks; `people` are all who may come in any."""
        if ranks.size == 1:
            return self
        own = self.regions
        sums = ranks.sum_numbers(
            [
                self.loss, self.prior.sum, self.prior.count, self.dop.sum, self.dop.count, own.inside,
                own.inside_weight, own.outside, own.outside_weight, own.regularisation, own.regularisation_weight,
                float(not own.tells_outside), *(value for name in people for value in own.of_person(name)),
            ]
        )  # fmt: skip
        pairs = zip(sums[_OF_ALL::2], sums[_OF_ALL + 1 :: 2], strict=True)
        of_people = dict(zip(people, pairs, strict=True))
        regions = RegionSums(*sums[5:11], tells_outside=sums[11] == 0, people=of_people)
        return _StepSums(sums[0], regions, _Part(*sums[1:3]), _Part(*sums[3:5]))


def count_numbers(people: Sequence[str]) -> int:
    """How many numbers the ranks sum in a step; `people` are all those whose items the dataset has."""
    return _OF_ALL + 2 * len(people)


def optimizer_step(
    denoiser: Denoiser,
    state: TrainState,
    window: Window,
    settings: MaskLossSettings | None,
    config: TrainConfig,
    check: Callable[[], object],
    ranks: Ranks = ALONE,
) -> LossPoint:
    """Train on an accumulation window, of which `window` has this rank's micro-batches; the state's adapters must be
    attached. `check` is called before each micro-batch and may raise. NonFiniteLossError before anything is updated."""
    # More than once only where fp16's loss scale was too large.
    while True:
        state.zero_grad()
        sums = _StepSums()
        for micro in window.micro_batches:
            check()
            sums = sums.add(_backward(denoiser, state, window, micro, settings, config))
        sums = sums.over(ranks, state.people)
        ranks.sum_gradients(state.adapters.parameters)
        grad_norm = state.clip()
        if grad_norm is not None:
            prior, dop = sums.prior.value, sums.dop.value
            apart = (window.near_zero, prior, window.tokens, sums.regions.regularisation_mean, dop)
            apart = (*apart, sums.regions.people_means)
            return state.update(sums.loss, *sums.regions.means, window.coverage, grad_norm, *apart)


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
