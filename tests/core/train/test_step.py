"""What masks do to the loss and to the gradient, and what keeps the outside as it was, on a real model."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import TrainingError
from maskloss.core.mask_weights import MaskLossSettings, Normalization
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import OptimizerConfig
from maskloss.core.train.denoiser import Family
from maskloss.core.train.loop import TrainResult
from maskloss.core.train.optimizers import OptimizerName
from maskloss.core.train.step import region_sums
from maskloss.core.warning import collect_warnings

from .runs import LORA, SIZE, assert_same, distance, half


@pytest.mark.parametrize("normalization", list(Normalization))
def test_a_batch_of_four_equals_four_batches_of_one(run, normalization):
    settings = MaskLossSettings(normalization=normalization, prior_weight=0.5, area_beta=0.5)
    lora = dataclasses.replace(LORA, dropout=0.2)
    # Plain gradient descent: its step is the gradient, where Adam's would blow up rounding of tiny gradients.
    sgd = OptimizerConfig(name=OptimizerName.SGD, learning_rate=1.0)
    one = run("one", settings, lora, sgd, batch_size=4)
    four = run("four", settings, lora, sgd, batch_size=1, gradient_accumulation_steps=4)
    assert distance(one, four) < 1e-5
    assert distance(one, run("other", settings, lora, sgd, batch_size=4, seed=1)) > 1e-3
    for mine, its in zip(one.points, four.points, strict=True):
        assert mine.loss == pytest.approx(its.loss, rel=1e-5)
        assert mine.inside == pytest.approx(its.inside, rel=1e-5)
        assert mine.outside == pytest.approx(its.outside, rel=1e-5)


@pytest.mark.parametrize("normalization", list(Normalization))
def test_masks_of_ones_equal_no_mask_bit_for_bit(run, make_cache, normalization):
    ones = torch.ones(1, 1, SIZE[1], SIZE[0])
    masked = make_cache([("a", SIZE, ones), ("b", SIZE, ones)])
    bare = make_cache([("a", SIZE, None), ("b", SIZE, None)])
    settings = MaskLossSettings(normalization=normalization)
    with_masks = run("masked", settings, on=masked)
    if normalization is Normalization.PER_SAMPLE:
        assert_same(with_masks, run("bare", None, on=bare))
    else:
        plain = run("bare", None, on=bare)
        assert distance(with_masks, plain) < 1e-6
    assert with_masks.points[0].outside is None


def test_unmasked_loss_is_the_plain_mean_square(run, cache):
    watched: list[torch.Tensor] = []

    class Recording(DemoDenoiser):
        def predict(self, *arguments: object) -> torch.Tensor:
            difference = super().predict(*arguments)
            watched.append(difference.detach())
            return difference

    result = run(settings=None, denoiser=Recording(), steps=1, batch_size=4)
    assert result.points[0].loss == pytest.approx(float(watched[0].square().mean()), rel=1e-6)


def test_gradient_of_the_prediction_is_exactly_zero_where_the_weight_is(run, make_cache):
    gradients: list[torch.Tensor] = []

    class Recording(DemoDenoiser):
        def predict(self, *arguments: object) -> torch.Tensor:
            difference = super().predict(*arguments)
            difference.register_hook(gradients.append)
            return difference

    run(on=make_cache([("a", SIZE, half())]), denoiser=Recording(), steps=2)
    outside = half()[None].expand_as(gradients[0]) == 0
    assert len(gradients) == 2
    for gradient in gradients:
        assert torch.equal(gradient[outside], torch.zeros_like(gradient[outside]))
        assert (gradient[~outside] != 0).float().mean() > 0.99


def test_inside_and_outside_are_the_masks_weighted_means(run, make_cache):
    differences: list[torch.Tensor] = []

    class Recording(DemoDenoiser):
        def predict(self, *arguments: object) -> torch.Tensor:
            difference = super().predict(*arguments)
            differences.append(difference.detach())
            return difference

    point = run(on=make_cache([("a", SIZE, half())]), denoiser=Recording(), steps=1).points[0]
    error = differences[0].square()
    assert point.inside == pytest.approx(float(error[..., : SIZE[0] // 2].mean()), rel=1e-5)
    assert point.outside == pytest.approx(float(error[..., SIZE[0] // 2 :].mean()), rel=1e-5)
    assert point.coverage == 0.5
    assert point.loss == pytest.approx(point.inside, rel=1e-5)


def test_empty_masks_are_named_once_and_hurt_nobody(run, make_cache):
    empty = torch.zeros(1, 1, SIZE[1], SIZE[0])
    with collect_warnings() as given:
        result = run(on=make_cache([("a", SIZE, half()), ("void", SIZE, empty)]), steps=6)
    assert sum("void" in text for text in given.texts) == 1
    assert {point.near_zero for point in result.points} == {(), ("void",)}
    assert all(point.loss == 0 for point in result.points if point.near_zero)
    assert all(value == value for values in result.loss_map.values() for value in values)


@pytest.mark.parametrize("normalization", list(Normalization))
def test_black_and_white_masks_with_prior_preservation(run, make_cache, normalization):
    # Black: nothing but the prior, which is 0 until the adapter moves, and nothing moves it. Alone it is refused, among
    # others it hurts nobody. White: no outside at all.
    black, white = torch.zeros(1, 1, SIZE[1], SIZE[0]), torch.ones(1, 1, SIZE[1], SIZE[0])
    plain = MaskLossSettings(normalization=normalization)
    prior = dataclasses.replace(plain, prior_weight=2.0)
    with pytest.raises(TrainingError, match="nothing to train on"):
        run("alone", prior, on=make_cache([("a", SIZE, black)]), steps=3)
    dark = run("dark", prior, on=make_cache([("a", SIZE, black), ("b", SIZE, white)]), steps=3)
    assert all(math.isfinite(point.loss) for point in dark.points)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in dark.lora.values())
    cache = make_cache([("a", SIZE, white)])
    one, two = run("one", plain, on=cache, steps=3), run("two", prior, on=cache, steps=3)
    assert [point.loss for point in one.points] == [point.loss for point in two.points]
    assert distance(one, two) == 0


def test_prior_asks_the_base_with_the_same_noise_and_time(run, make_cache):
    calls: list[tuple[tuple[torch.Tensor, ...], torch.Tensor, bool]] = []

    class Recording(DemoDenoiser):
        def predict(self, clean, noise, t, text, checkpoint):
            difference = super().predict(clean, noise, t, text, checkpoint)
            calls.append(((clean, noise, t), difference.detach(), difference.requires_grad))
            return difference

    masked = make_cache([("a", SIZE, half()), ("b", SIZE, half())])
    run(settings=MaskLossSettings(prior_weight=1.0), denoiser=Recording(), steps=3, on=masked)
    assert len(calls) == 6
    for base, student in zip(calls[::2], calls[1::2], strict=True):
        assert all(torch.equal(mine, its) for mine, its in zip(student[0], base[0], strict=True))
        assert (student[2], base[2]) == (True, False)
    bare = DemoDenoiser()
    clean, noise, t = calls[4][0]
    # The base's answer after two updates is the bare model's; the student's no longer is.
    assert torch.equal(calls[0][1], calls[1][1])
    assert not torch.equal(calls[4][1], calls[5][1])
    text = [{"tokens": torch.zeros(1, 64)}]
    with torch.no_grad():
        untouched = bare.predict(clean, noise, t, text, False)
    assert torch.allclose(calls[4][1], untouched, atol=1e-6)


def test_prior_holds_the_outside_to_the_base(run, make_cache):
    cache = make_cache([("a", SIZE, half())])
    fast = OptimizerConfig(learning_rate=5e-3)

    def drift(result: TrainResult) -> float:
        denoiser = DemoDenoiser()
        generator = torch.Generator().manual_seed(9)
        clean = denoiser.normalise(cache.latent(cache.entries[0])[None])
        noise = torch.randn(clean.shape, generator=generator)
        arguments = (clean, noise, torch.tensor([0.7]), [cache.text(cache.entries[0])], False)
        adapters = LoraAdapters(
            denoiser.module, LORA, denoiser.default_targets, generator, denoiser.device, torch.float32
        )
        adapters.load(result.lora)
        with torch.no_grad(), adapters.attach():
            student = denoiser.predict(*arguments)
            with adapters.disable():
                base = denoiser.predict(*arguments)
        return float((student - base)[..., SIZE[0] // 2 :].square().mean())

    free = drift(run("free", optimizer=fast, on=cache, steps=25))
    held = drift(run("held", MaskLossSettings(prior_weight=10.0), optimizer=fast, on=cache, steps=25))
    assert held < 0.5 * free


def test_min_snr_scales_the_loss_of_a_noise_model(run):
    class NoiseModel(DemoDenoiser):
        family = Family.EPS

    plain = run("plain", denoiser=NoiseModel(), steps=2, timestep_max=0.3)
    scaled = run("scaled", denoiser=NoiseModel(), steps=2, timestep_max=0.3, min_snr_gamma=1.0)
    assert scaled.points[0].loss < plain.points[0].loss
    assert scaled.points[0].inside == plain.points[0].inside


def test_the_error_of_each_persons_items_is_told_apart() -> None:
    error_BCThw = torch.tensor([1.0, 2.0, 4.0, 8.0]).view(4, 1, 1, 1, 1).expand(4, 2, 1, 2, 2).clone()
    mask_B1Thw = torch.ones(4, 1, 1, 2, 2)
    mask_B1Thw[1, ..., 0] = 0.0
    kept = torch.tensor([False, False, False, True])
    sums = region_sums(error_BCThw, mask_B1Thw, None, kept, ["anna", "berta", "anna", "berta"])
    assert sums.people_means == {"anna": pytest.approx(2.5), "berta": pytest.approx(2.0)}, "regularisation is apart"
    both = sums + region_sums(error_BCThw[:1], mask_B1Thw[:1], None, None, ["carla"])
    assert both.people_means["carla"] == pytest.approx(1.0)
    assert both.people_means["anna"] == pytest.approx(2.5)
    assert region_sums(error_BCThw, mask_B1Thw).people_means == {}


def test_a_run_tells_the_loss_of_each_person(run, make_cache) -> None:
    masked = [(name, SIZE, half(SIZE)) for name in ("party@anna", "party@berta")]
    cache = make_cache(masked)
    entries = tuple(dataclasses.replace(entry, subject=entry.name[6:]) for entry in cache.entries)
    result = run("people", on=dataclasses.replace(cache, entries=entries), steps=4, gradient_accumulation_steps=1)
    assert [set(point.people) for point in result.points] != [set()] * 4
    for point in result.points:
        assert len(point.people) == 1
        assert next(iter(point.people.values())) == pytest.approx(point.inside)
    assert {name for point in result.points for name in point.people} == {"anna", "berta"}
