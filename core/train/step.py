"""One micro-batch, forward: its part of the accumulation window's loss, and what the log says about it.

Shapes: B batch, C channels, T latent frames, h, w latent grid. Sums are float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch

from ..errors import NonFiniteLossError
from ..loss import elementwise_error, unnormalised_loss, weighted_sums
from ..mask_weights import MaskLossSettings, Normalization
from .adapters import LoraAdapters
from .config import TrainingDtype
from .denoiser import Denoiser, token_routing
from .prior import Teacher
from .token_saving import count_only, left_out, needed_cells
from .window import MicroBatch, Window


@dataclass(frozen=True)
class RegionSums:
    """Σ w·err and Σ w inside the mask and outside of it, and of regularisation images inside theirs; summed over an
    accumulation window, then divided. `people`: inside the mask, of each person's items by their name."""

    inside: float = 0.0
    inside_weight: float = 0.0
    outside: float = 0.0
    outside_weight: float = 0.0
    regularisation: float = 0.0
    regularisation_weight: float = 0.0
    tells_outside: bool = True
    people: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])

    def __add__(self, other: RegionSums) -> RegionSums:
        return RegionSums(
            self.inside + other.inside,
            self.inside_weight + other.inside_weight,
            self.outside + other.outside,
            self.outside_weight + other.outside_weight,
            self.regularisation + other.regularisation,
            self.regularisation_weight + other.regularisation_weight,
            self.tells_outside and other.tells_outside,
            {
                name: (
                    self.of_person(name)[0] + other.of_person(name)[0],
                    self.of_person(name)[1] + other.of_person(name)[1],
                )
                for name in {**self.people, **other.people}
            },
        )

    def of_person(self, name: str) -> tuple[float, float]:
        """Σ w·err and Σ w of one person's items."""
        return self.people.get(name, (0.0, 0.0))

    @property
    def people_means(self) -> dict[str, float]:
        """Mean error inside the mask of each person's items, of whoever came."""
        return {name: total / weight for name, (total, weight) in self.people.items() if weight > 0}

    @property
    def regularisation_mean(self) -> float | None:
        """Mean error of regularisation images; None where there are none, or they have no weight."""
        return self.regularisation / self.regularisation_weight if self.regularisation_weight > 0 else None

    @property
    def means(self) -> tuple[float | None, float | None]:
        """Mean error inside and outside; None for a region without weight, or of which not all was predicted."""
        return (
            self.inside / self.inside_weight if self.inside_weight > 0 else None,
            self.outside / self.outside_weight if self.outside_weight > 0 and self.tells_outside else None,
        )


@dataclass(frozen=True, eq=False)
class MicroResult:
    """A micro-batch's part of the accumulation window's loss, normalised, with a graph; its sums by region; the names
    of the samples whose error is not finite; and its part of the prior loss, before `prior_weight`, and of that of
    differential output preservation, before `dop_weight`, where there is one."""

    loss: torch.Tensor
    sums: RegionSums
    non_finite: tuple[str, ...]
    prior: float | None = None
    dop: float | None = None


def resolve_dtype(dtype: TrainingDtype, device: torch.device) -> torch.dtype:
    """The torch dtype that `dtype` means on a device."""
    if dtype is TrainingDtype.AUTO:
        able = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if able else torch.float32
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[dtype.value]


def autocast_context(denoiser: Denoiser, dtype: TrainingDtype) -> AbstractContextManager[object]:
    """The autocast context of a forward pass; without autocast where `dtype` is fp32."""
    chosen = resolve_dtype(dtype, denoiser.device)
    if chosen is torch.float32:
        return torch.autocast(denoiser.device.type, enabled=False)
    return torch.autocast(denoiser.device.type, dtype=chosen)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A frozen model, what is trained in it and its teacher; and how a forward pass runs: in which dtype, whether
    activations are checkpointed, and whether what does not count is predicted too, to tell the loss outside the mask.
    """

    denoiser: Denoiser
    adapters: LoraAdapters
    teacher: Teacher
    dtype: TrainingDtype
    checkpoint: bool
    tells_outside: bool = True


def micro_batch_loss(
    micro: MicroBatch, window: Window, model: TrainedModel, settings: MaskLossSettings | None, prior_weight: float
) -> MicroResult:
    """Run the model on a micro-batch and weigh its error; `prior_weight` is that of prior preservation in this step."""
    denoiser, device = model.denoiser, model.denoiser.device
    rules = settings or MaskLossSettings()
    clean = denoiser.normalise(micro.raw_BCThw.to(device))
    noise, t = micro.noise_BCThw.to(device), micro.t_B.to(device)
    taught = _taught_samples(micro) if prior_weight > 0 else []
    teacher_residual = prior = None
    if taught:
        text = [micro.text[index] for index in taught]
        with (
            model.teacher.forward_context(),
            autocast_context(denoiser, model.dtype),
            routed_pass(micro, denoiser, taught),
        ):
            teacher_residual = denoiser.predict(clean[taught], noise[taught], t[taught], text, False)
    model.adapters.set_dropout_seeds(micro.dropout_seeds)
    needed = needed_cells(micro, bool(taught), model.tells_outside)
    routed = routed_pass(micro, denoiser, range(len(clean)))
    with autocast_context(denoiser, model.dtype), routed, count_only(denoiser, needed):
        residual = denoiser.predict(clean, noise, t, micro.text, model.checkpoint)
    error = elementwise_error(residual, rules)
    nothing = left_out(denoiser, needed)
    if nothing is not None:
        error = error.masked_fill(nothing.to(device), 0.0)
    factor = None if micro.kept is None else micro.kept.factor_B1Thw.to(device)
    weights, scale = micro.weights_B1Thw.to(device), micro.scale_B.to(device)
    numerator = unnormalised_loss(error, weights, rules.normalization, scale, factor)
    loss = numerator / float(window.normaliser)  # a number, because the normaliser is float64, which Apple GPUs lack
    if teacher_residual is not None:
        # Both residuals are against the same target, so their difference is that of the two predictions.
        drift = elementwise_error(residual[taught] - teacher_residual, rules)
        region, scale = micro.prior_B1Thw[taught].to(device), micro.prior_scale_B[taught].to(device)
        # Samples in which it does not act stay in the count, so that the others weigh no more beside them.
        drawn = None if factor is None else factor[taught]
        prior = unnormalised_loss(drift, region, Normalization.PER_SAMPLE, scale, drawn)
        prior = prior / float(window.prior_normaliser)
        loss = loss + prior_weight * prior
    finite = torch.isfinite(error.detach().sum(dim=(1, 2, 3, 4))).tolist()
    non_finite = tuple(entry.name for entry, good in zip(micro.entries, finite, strict=True) if not good)
    drifted = None if prior is None else float(prior.detach())
    subjects = [entry.subject for entry in micro.entries]
    sums = region_sums(error, micro.mask_B1Thw.to(device), factor, micro.regularisation_B.to(device), subjects)
    # Of routed tokens, which alone count then, all are predicted.
    sums = replace(sums, tells_outside=nothing is None or micro.kept is not None)
    return MicroResult(loss, sums, non_finite, drifted)


def routed_pass(micro: MicroBatch, denoiser: Denoiser, samples: Sequence[int]) -> AbstractContextManager[object]:
    """A forward pass with these samples of the micro-batch, the student's or the teacher's: with equal tokens, so that
    their difference is not that of the routing."""
    if micro.kept is None:
        return nullcontext()
    return token_routing(denoiser).route(micro.kept.of(samples))


def _taught_samples(micro: MicroBatch) -> list[int]:
    """Which samples have something that prior preservation acts on; the teacher is run on them alone."""
    return (micro.prior_B1Thw.flatten(1).any(dim=1) & (micro.prior_scale_B > 0)).nonzero().flatten().tolist()


def region_sums(
    error_BCThw: torch.Tensor,
    mask_B1Thw: torch.Tensor,
    factor_B1Thw: torch.Tensor | None = None,
    regularisation_B: torch.Tensor | None = None,
    subjects: Sequence[str] = (),
) -> RegionSums:
    """Error sums where the mask is and where it is not, each cell counting `factor` times in both; of regularisation
    images (bool), where it is, apart; and where it is, of each person whose items these are by `subjects`, one for
    each sample (empty: nobody's)."""
    error, factor = error_BCThw.detach(), 1.0 if factor_B1Thw is None else factor_B1Thw
    apart = torch.zeros(len(error), device=error.device) if regularisation_B is None else regularisation_B.float()
    inside = weighted_sums(error, mask_B1Thw * factor)
    outside = weighted_sums(error, (1.0 - mask_B1Thw) * factor)
    sums = [(values * (1 - apart)).sum() for values in (*inside, *outside)]
    sums += [(values * apart).sum() for values in inside]
    names = sorted({name for name in subjects if name})
    for name in names:
        own = torch.tensor([each == name for each in subjects], device=error.device) * (1 - apart)
        sums += [(values * own).sum() for values in inside]
    told: list[float] = torch.stack(sums).tolist()
    people = {name: (told[6 + 2 * n], told[7 + 2 * n]) for n, name in enumerate(names)}
    return RegionSums(*told[:6], tells_outside=True, people=people)


def refuse_non_finite(result: MicroResult, micro: MicroBatch, step: int) -> None:
    """NonFiniteLossError naming the items, before anything is updated."""
    if not torch.isfinite(result.loss) or result.non_finite:
        names = result.non_finite or tuple(entry.name for entry in micro.entries)
        raise NonFiniteLossError(
            f"The loss is not finite in step {step} at {', '.join(names)}; the LoRA is as it was before this step. "
            "Lower the learning rate, train in fp32, or look at those items."
        )
