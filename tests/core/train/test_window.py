import dataclasses

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.loss import masked_loss, unnormalised_loss
from maskloss.core.mask_weights import MaskLossSettings, Normalization
from maskloss.core.train.config import TrainConfig
from maskloss.core.train.denoiser import Family
from maskloss.core.train.order import Occurrence
from maskloss.core.train.window import Window, min_snr_weight, plan_window

PLAIN = MaskLossSettings()
SIZE = (6, 4)


class NoiseModel(DemoDenoiser):
    """The demo model, said to predict noise."""

    family = Family.EPS


def mask(value: float) -> torch.Tensor:
    weights = torch.full((1, 1, SIZE[1], SIZE[0]), value)
    weights[..., 0] = 0.5
    return weights


@pytest.fixture
def cache(make_cache):
    empty = torch.zeros(1, 1, SIZE[1], SIZE[0])
    return make_cache([("a", SIZE, mask(1.0)), ("b", SIZE, mask(0.1)), ("c", SIZE, None), ("d", SIZE, empty)])


def window(cache, batches, settings=PLAIN, config=None, denoiser=None) -> Window:
    occurrences = [[Occurrence(0, entry, 0) for entry in batch] for batch in batches]
    return plan_window(occurrences, cache, cache.entries, settings, config or TrainConfig(), denoiser or DemoDenoiser())


def errors(planned: Window) -> list[torch.Tensor]:
    """A made-up error per micro-batch that depends on the sample alone."""
    return [micro.noise_BCThw.double() ** 2 for micro in planned.micro_batches]


@pytest.mark.parametrize("normalization", list(Normalization))
@pytest.mark.parametrize("area_beta", [0.0, 0.7])
def test_any_cut_into_micro_batches_gives_the_loss_of_one_batch(cache, normalization, area_beta):
    settings = MaskLossSettings(normalization=normalization, gamma=0.7, min_weight=0.05, area_beta=area_beta)
    losses = []
    for batches in ([[0, 1, 2, 3]], [[0], [1], [2], [3]], [[3, 1], [0, 2]]):
        planned = window(cache, batches, settings)
        numerator = sum(
            unnormalised_loss(error, micro.weights_B1Thw, normalization, micro.scale_B)
            for error, micro in zip(errors(planned), planned.micro_batches, strict=True)
        )
        losses.append(numerator / planned.normaliser)
    one = window(cache, [[0, 1, 2, 3]], settings)
    micro = one.micro_batches[0]
    assert torch.allclose(losses[0], masked_loss(errors(one)[0], micro.weights_B1Thw, normalization, micro.scale_B))
    assert torch.allclose(losses[1], losses[0], rtol=1e-12)
    assert torch.allclose(losses[2], losses[0], rtol=1e-12)


@pytest.mark.parametrize("normalization", list(Normalization))
def test_gradcheck_of_the_windowed_loss(cache, normalization):
    planned = window(cache, [[0, 3], [1]], MaskLossSettings(normalization=normalization))

    def loss(*differences: torch.Tensor) -> torch.Tensor:
        numerators = [
            unnormalised_loss(difference**2, micro.weights_B1Thw, normalization, micro.scale_B)
            for difference, micro in zip(differences, planned.micro_batches, strict=True)
        ]
        return torch.stack(numerators).sum() / planned.normaliser

    # Two channels are enough, and keep the numeric Jacobian small.
    inputs = [micro.noise_BCThw[:, :2].double().requires_grad_(True) for micro in planned.micro_batches]
    assert torch.autograd.gradcheck(loss, inputs)


def test_a_window_of_empty_masks_is_zero_with_finite_gradients(cache):
    planned = window(cache, [[3]], MaskLossSettings(normalization=Normalization.BATCH))
    error = torch.ones(1, 16, 1, SIZE[1], SIZE[0], requires_grad=True)
    loss = unnormalised_loss(error, planned.micro_batches[0].weights_B1Thw, Normalization.BATCH) / planned.normaliser
    loss.backward()
    assert loss == 0
    assert torch.equal(error.grad, torch.zeros_like(error))
    assert planned.near_zero == ("d",)


def test_entries_without_mask_count_fully_and_masks_are_transformed(cache):
    planned = window(cache, [[1, 2]], MaskLossSettings(gamma=2.0, min_weight=0.1))
    weights = planned.micro_batches[0].weights_B1Thw
    assert weights[0, 0, 0, 0, 0] == pytest.approx(0.25 * 0.9 + 0.1)
    assert weights[0, 0, 0, 0, 1] == pytest.approx(0.01 * 0.9 + 0.1)
    assert torch.equal(weights[1], torch.ones_like(weights[1]))
    assert planned.coverage == pytest.approx((float(mask(0.1).mean()) + 1) / 2)


def test_without_settings_all_weights_are_one_but_the_mask_is_still_seen(cache):
    micro = window(cache, [[0, 1]], None).micro_batches[0]
    assert torch.equal(micro.weights_B1Thw, torch.ones_like(micro.weights_B1Thw))
    assert torch.equal(micro.mask_B1Thw[1], mask(0.1))


@pytest.mark.parametrize("prior_threshold", [0.0, 0.3])
def test_probability_trains_its_share_of_samples_without_the_mask(cache, prior_threshold):
    settings = MaskLossSettings(probability=0.3, area_beta=1.0, prior_weight=1.0, prior_threshold=prior_threshold)
    batches = [[Occurrence(epoch, 1, 0)] for epoch in range(400)]
    planned = plan_window(batches, cache, cache.entries, settings, TrainConfig(), DemoDenoiser())
    full = torch.tensor([bool((micro.weights_B1Thw == 1).all()) for micro in planned.micro_batches])
    assert full.float().mean() == pytest.approx(0.7, abs=0.07)
    scales = torch.cat([micro.scale_B for micro in planned.micro_batches])
    assert torch.equal(scales == 1, full)
    priors = torch.tensor([float(micro.prior_B1Thw.sum()) for micro in planned.micro_batches])
    assert torch.equal(priors == 0, full)


def test_prior_region_is_what_the_mask_leaves_out(cache):
    settings = MaskLossSettings(prior_weight=1.0, gamma=2.0)
    region = window(cache, [[1, 2]], settings).micro_batches[0].prior_B1Thw
    assert region[0, 0, 0, 0, 1] == pytest.approx(1 - 0.01)
    assert region[1].sum() == 0
    thresholded = dataclasses.replace(settings, prior_threshold=0.3)
    region = window(cache, [[1]], thresholded).micro_batches[0].prior_B1Thw
    assert torch.equal(region[0], (mask(0.1) < 0.3).float())
    assert window(cache, [[1]]).micro_batches[0].prior_B1Thw.sum() == 0


def test_invert_turns_weights_mask_and_region_round(cache):
    micro = window(cache, [[1]], MaskLossSettings(invert=True, prior_weight=1.0)).micro_batches[0]
    assert torch.allclose(micro.weights_B1Thw, 1 - mask(0.1)[None])
    assert torch.allclose(micro.mask_B1Thw, 1 - mask(0.1)[None])
    assert torch.allclose(micro.prior_B1Thw, mask(0.1)[None])


def test_draws_belong_to_the_occurrence(cache):
    together = window(cache, [[0, 1, 2]]).micro_batches[0]
    alone = window(cache, [[1]]).micro_batches[0]
    assert torch.equal(together.noise_BCThw[1], alone.noise_BCThw[0])
    assert together.t_B[1] == alone.t_B[0]
    assert together.dropout_seeds[1] == alone.dropout_seeds[0]
    later = plan_window(
        [[Occurrence(1, 1, 0)], [Occurrence(0, 1, 1)]], cache, cache.entries, PLAIN, TrainConfig(), DemoDenoiser()
    )
    assert not torch.equal(later.micro_batches[0].noise_BCThw, alone.noise_BCThw)
    assert not torch.equal(later.micro_batches[1].noise_BCThw, alone.noise_BCThw)
    other = window(cache, [[1]], config=TrainConfig(seed=1)).micro_batches[0]
    assert not torch.equal(other.noise_BCThw, alone.noise_BCThw)


def test_caption_dropout_drops_its_fraction(cache):
    batches = [[Occurrence(epoch, 0, 0)] for epoch in range(400)]
    planned = plan_window(batches, cache, cache.entries, PLAIN, TrainConfig(caption_dropout=0.25), DemoDenoiser())
    empty = cache.empty_text()["tokens"]
    dropped = [torch.equal(micro.text[0]["tokens"], empty) for micro in planned.micro_batches]
    assert sum(dropped) / 400 == pytest.approx(0.25, abs=0.06)
    assert not any(torch.equal(text["tokens"], empty) for text in window(cache, [[0, 1, 2]]).micro_batches[0].text)


def test_min_snr_weights(cache):
    t = torch.tensor([0.5, 0.2])  # snr 1 and 16
    noise_model = NoiseModel()
    assert torch.allclose(min_snr_weight(noise_model, t, 5.0), torch.tensor([1.0, 5 / 16]))
    noise_model.family = Family.V
    assert torch.allclose(min_snr_weight(noise_model, t, 5.0), torch.tensor([1 / 2, 5 / 17]))
    micro = window(cache, [[0]], config=TrainConfig(min_snr_gamma=1.0), denoiser=NoiseModel()).micro_batches[0]
    assert torch.allclose(micro.scale_B, min_snr_weight(NoiseModel(), micro.t_B, 1.0))
    assert window(cache, [[0]]).micro_batches[0].scale_B == 1.0
