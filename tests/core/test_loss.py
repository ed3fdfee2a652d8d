"""The masked loss against plain torch, its gradients, its guards, and sums over an accumulation window."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.errors import SettingError
from maskloss.core.loss import (
    elementwise_error,
    is_near_zero,
    loss_normaliser,
    masked_loss,
    unnormalised_loss,
    weighted_sums,
)
from maskloss.core.mask_weights import LossKind, MaskLossSettings, Normalization

EVERY = list(Normalization)


def draw(seed: int, shape=(3, 4, 2, 5, 6)):
    generator = torch.Generator().manual_seed(seed)
    error = torch.rand(shape, generator=generator) + 0.1
    weights = torch.rand((shape[0], 1, *shape[2:]), generator=generator)
    return error, weights


def test_value_against_plain_torch():
    error, weights = draw(0)
    spread = weights.expand_as(error)
    per_sample = torch.stack([(error[i] * spread[i]).sum() / spread[i].sum() for i in range(3)]).mean()
    assert masked_loss(error, weights, Normalization.PER_SAMPLE) == pytest.approx(per_sample.item(), rel=1e-6)
    assert masked_loss(error, weights, Normalization.BATCH) == pytest.approx(
        ((error * spread).sum() / spread.sum()).item(), rel=1e-6
    )
    assert masked_loss(error, weights, Normalization.NONE) == pytest.approx((error * spread).mean().item(), rel=1e-6)


def test_channels_count_once_each():
    error, weights = draw(1)
    numerator, denominator = weighted_sums(error, weights)
    assert numerator.shape == denominator.shape == (3,)
    torch.testing.assert_close(denominator, weights.expand_as(error).sum(dim=(1, 2, 3, 4)))


@pytest.mark.parametrize("normalization", EVERY)
def test_all_ones_equals_plain_mean(normalization):
    error, _ = draw(2)
    assert masked_loss(error, torch.ones(3, 1, 2, 5, 6), normalization) == pytest.approx(error.mean().item(), rel=1e-6)


def test_a_small_mask_keeps_its_share_per_sample():
    # One sample weighs 1/64 of its area: under `batch` it all but vanishes, under `per_sample` it is half the loss.
    error = torch.ones(2, 1, 1, 8, 8)
    error[0] = 3.0
    weights = torch.ones(2, 1, 1, 8, 8)
    weights[0] = 0.0
    weights[0, ..., 0, 0] = 1.0
    assert masked_loss(error, weights, Normalization.PER_SAMPLE) == pytest.approx(2.0)
    assert masked_loss(error, weights, Normalization.BATCH) == pytest.approx((3 + 64) / 65)


@pytest.mark.parametrize("normalization", EVERY)
def test_a_normalization_may_be_given_by_its_name(normalization):
    # A plain string is no member of the enum: compared by identity it acted as `batch`, whatever it said.
    error, weights = draw(8)
    assert masked_loss(error, weights, normalization.value) == masked_loss(error, weights, normalization)
    assert loss_normaliser(weights, 4, normalization.value) == loss_normaliser(weights, 4, normalization)
    with pytest.raises(SettingError, match="normalization must be one of per_sample, batch, none; found 'mean'"):
        masked_loss(error, weights, "mean")


@pytest.mark.parametrize("normalization", EVERY)
def test_gradcheck(normalization):
    _, weights = draw(3, (2, 3, 1, 3, 4))
    prediction = torch.randn(2, 3, 1, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    for kind in LossKind:
        chosen = MaskLossSettings(loss=kind, huber_delta=0.7)

        def loss(x, chosen=chosen):
            return masked_loss(elementwise_error(x, chosen), weights.double(), normalization)

        assert torch.autograd.gradcheck(loss, prediction.clone().requires_grad_(True))


@pytest.mark.parametrize("normalization", EVERY)
def test_gradient_is_exactly_zero_outside(normalization):
    _, weights = draw(4)
    weights = (weights > 0.5).float()
    prediction = torch.randn(3, 4, 2, 5, 6, generator=torch.Generator().manual_seed(4)).requires_grad_(True)
    masked_loss(elementwise_error(prediction, MaskLossSettings()), weights, normalization).backward()
    outside = weights.expand_as(prediction) == 0
    assert (prediction.grad[outside] == 0).all()
    assert (prediction.grad[~outside] != 0).all()


@pytest.mark.parametrize("normalization", EVERY)
@pytest.mark.parametrize("black", [0, 1, 3])
def test_black_masks_give_finite_loss_and_gradient(normalization, black):
    error, weights = draw(5)
    weights[:black] = 0.0
    error = error.requires_grad_(True)
    loss = masked_loss(error, weights, normalization)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(error.grad).all()
    assert (error.grad[:black] == 0).all()
    if black == 3:
        assert loss == 0


def test_a_black_sample_stays_in_the_count():
    error = torch.ones(2, 1, 1, 4, 4)
    weights = torch.ones(2, 1, 1, 4, 4)
    weights[0] = 0.0
    assert masked_loss(error, weights, Normalization.PER_SAMPLE) == pytest.approx(0.5)


def test_near_zero_is_a_share_of_the_elements():
    weights = torch.zeros(3, 1, 1, 100, 100)
    weights[1, ..., 0, 0] = 0.009  # 0.9e-6 of 10 000 elements
    weights[2, ..., 0, 0] = 0.011
    assert is_near_zero(weights).tolist() == [True, True, False]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_are_taken_in_float32(dtype):
    # 70 000 ones: a float16 sum overflows at 65 504, a bfloat16 sum stops growing at 256.
    error = torch.ones(1, 1, 1, 280, 250, dtype=dtype)
    numerator, denominator = weighted_sums(error, torch.ones(1, 1, 1, 280, 250, dtype=dtype))
    assert numerator.dtype == denominator.dtype == torch.float32
    assert numerator.item() == denominator.item() == 70_000


@pytest.mark.parametrize("normalization", EVERY)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_window_of_parts_equals_one_batch(normalization, data):
    count = data.draw(st.integers(1, 6))
    cuts = sorted(data.draw(st.sets(st.integers(1, count - 1)))) if count > 1 else []
    error, weights = draw(data.draw(st.integers(0, 999)), (count, 2, 1, 4, 3))
    weights[: data.draw(st.integers(0, count))] *= data.draw(st.sampled_from([0.0, 1.0]))
    scale = torch.rand(count, generator=torch.Generator().manual_seed(count))
    bounds = list(zip([0, *cuts], [*cuts, count], strict=True))
    share = sum(unnormalised_loss(error[a:b], weights[a:b], normalization, scale[a:b]) for a, b in bounds)
    divisor = sum(loss_normaliser(weights[a:b], 2, normalization) for a, b in bounds)
    whole = masked_loss(error, weights, normalization, scale)
    assert float(share / divisor if divisor > 0 else share) == pytest.approx(float(whole), rel=1e-5, abs=1e-8)


def test_huber_and_mse_are_torchs():
    difference = torch.randn(1, 2, 1, 3, 3, generator=torch.Generator().manual_seed(6)) * 3
    zero = torch.zeros_like(difference)
    torch.testing.assert_close(
        elementwise_error(difference, MaskLossSettings()), F.mse_loss(difference, zero, reduction="none")
    )
    for delta in (0.5, 2.0):
        chosen = MaskLossSettings(loss=LossKind.HUBER, huber_delta=delta)
        torch.testing.assert_close(
            elementwise_error(difference, chosen), F.huber_loss(difference, zero, reduction="none", delta=delta)
        )


@pytest.mark.parametrize("shape", [(3, 4, 2, 5, 6), (3, 1, 2, 5, 5), (1, 1, 2, 5, 6)])
def test_weights_of_another_shape_are_refused(shape):
    error, _ = draw(7)
    with pytest.raises(SettingError, match="do not fit"):
        weighted_sums(error, torch.ones(shape))
