"""The mask-weighted loss: Σ(w·err)/Σw, exact over any accumulation window.

Shapes: B batch, C channels, T latent frames, h, w latent grid. Sums are taken in float32 (float64 stays float64).
A sample whose Σw is below `NEAR_ZERO` of its elements contributes zero, with a graph, and stays in the count.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .errors import SettingError, unhandled_choice
from .mask_choices import LossKind, Normalization, resolve_normalization
from .mask_weights import MaskLossSettings

NEAR_ZERO = 1e-6


def elementwise_error(residual_BCThw: torch.Tensor, settings: MaskLossSettings) -> torch.Tensor:
    """Error per element of the residual, prediction − target: the square, or torch's Huber loss with `huber_delta`."""
    residual = residual_BCThw.to(_sum_dtype(residual_BCThw))
    if settings.loss is LossKind.HUBER:
        return F.huber_loss(residual, torch.zeros_like(residual), reduction="none", delta=settings.huber_delta)
    if settings.loss is LossKind.MSE:
        return residual * residual
    raise unhandled_choice(settings.loss)


def weighted_sums(error_BCThw: torch.Tensor, weights_B1Thw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Per sample Σ w·err and Σ w, `w` counted once per channel.

    `error` (B,C,T,h,w), `weights` (B,1,T,h,w) → two (B,) tensors, float32. SettingError when the shapes do not fit.
    """
    expected = (error_BCThw.shape[0], 1, *error_BCThw.shape[2:])
    if error_BCThw.ndim != 5 or tuple(weights_B1Thw.shape) != expected:
        raise SettingError(
            f"weights of shape {tuple(weights_B1Thw.shape)} do not fit an error of shape {tuple(error_BCThw.shape)}; "
            "they must be (B, 1, T, h, w) for an error of (B, C, T, h, w)"
        )
    dtype = _sum_dtype(error_BCThw)
    weights = weights_B1Thw.to(dtype)
    numerator = (error_BCThw.to(dtype) * weights).sum(dim=(1, 2, 3, 4))
    denominator = weights.sum(dim=(1, 2, 3, 4)) * error_BCThw.shape[1]
    return numerator, denominator


def is_near_zero(weights_B1Thw: torch.Tensor) -> torch.Tensor:
    """(B,) bool: samples whose weights sum to less than 1e-6 of their elements; their loss is taken as zero."""
    return weights_B1Thw.float().mean(dim=(1, 2, 3, 4)) < NEAR_ZERO


def unnormalised_loss(
    error_BCThw: torch.Tensor,
    weights_B1Thw: torch.Tensor,
    normalization: Normalization | str,
    scale_B: torch.Tensor | None = None,
    factor_B1Thw: torch.Tensor | None = None,
) -> torch.Tensor:
    """The unnormalised loss (numerator) of a batch, a scalar with a graph.

    An accumulation window's loss is the sum of its batches' unnormalised losses, divided by the sum of their
    `loss_normaliser`s. `scale_B` multiplies each sample's loss (see `core.mask_weights.area_scale`), `factor` each
    cell's weighted error but not the weights that it is divided by (see `core.train.token_routing`).
    """
    normalization = resolve_normalization(normalization)
    numerator, denominator = weighted_sums(error_BCThw, weights_B1Thw)
    if factor_B1Thw is not None:
        numerator, _ = weighted_sums(error_BCThw, weights_B1Thw * factor_B1Thw)
    silent = is_near_zero(weights_B1Thw)
    if normalization is Normalization.PER_SAMPLE:
        contribution = numerator / torch.where(silent, torch.ones_like(denominator), denominator)
    elif normalization is Normalization.BATCH or normalization is Normalization.NONE:
        contribution = numerator
    else:
        raise unhandled_choice(normalization)
    if scale_B is not None:
        contribution = contribution * scale_B.to(contribution)
    return torch.where(silent, contribution * 0.0, contribution).sum()


def loss_normaliser(weights_B1Thw: torch.Tensor, channels: int, normalization: Normalization | str) -> torch.Tensor:
    """The normaliser of a batch's loss, a scalar known before any forward pass.

    `per_sample`: the number of samples; `batch`: Σ w over all samples; `none`: the number of elements.
    """
    normalization = resolve_normalization(normalization)
    batch = weights_B1Thw.shape[0]
    if normalization is Normalization.PER_SAMPLE:
        return torch.tensor(float(batch))
    if normalization is Normalization.NONE:
        return torch.tensor(float(weights_B1Thw.numel() * channels))
    if normalization is not Normalization.BATCH:
        raise unhandled_choice(normalization)
    sums = weights_B1Thw.to(_sum_dtype(weights_B1Thw)).sum(dim=(1, 2, 3, 4)) * channels
    return torch.where(is_near_zero(weights_B1Thw), torch.zeros_like(sums), sums).sum()


def masked_loss(
    error_BCThw: torch.Tensor,
    weights_B1Thw: torch.Tensor,
    normalization: Normalization | str = Normalization.PER_SAMPLE,
    scale_B: torch.Tensor | None = None,
) -> torch.Tensor:
    """The loss of one batch.

    `per_sample`  Σ_i (Σ w·err / Σ w)_i / B: every sample counts the same, however small its mask.
    `batch`       Σ w·err / Σ w over all samples: every weighted cell counts the same.
    `none`        Σ w·err / number of elements: a small mask makes a small loss.

    Samples without weight contribute zero; when none has any, the loss is zero with finite gradients. SettingError for
    another name of a normalisation.
    """
    numerator = unnormalised_loss(error_BCThw, weights_B1Thw, normalization, scale_B)
    normaliser = loss_normaliser(weights_B1Thw, error_BCThw.shape[1], normalization).to(numerator)
    return numerator / torch.where(normaliser > 0, normaliser, torch.ones_like(normaliser))


def _sum_dtype(tensor: torch.Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)
