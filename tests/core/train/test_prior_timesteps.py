"""At which timesteps prior preservation acts and by how much, its warm-up, and regions that do not overlap."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import SettingError
from maskloss.core.mask_weights import PRESETS, MaskLossSettings, PriorDecay, PriorSchedule
from maskloss.core.train.config import OptimizerConfig, TrainConfig
from maskloss.core.train.order import Occurrence
from maskloss.core.train.prior import prior_factors, prior_weight_at
from maskloss.core.train.window import plan_window

from .runs import SIZE, Recording, Stop, Watcher, assert_same, distance, half

FAST = OptimizerConfig(learning_rate=1e-2)


# What the reference system gives for weight 2, pivot 300: its timesteps are ours times 1000.
@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        (PriorDecay.CONSTANT, [1.0, 1.0, 1.0, 1.0, 1.0]),
        (PriorDecay.LINEAR, [0.0, 0.25, 0.5, 1.0, 1.0]),
        (PriorDecay.COSINE, [0.0, 0.5 - 0.5 * 2**-0.5, 0.5, 1.0, 1.0]),
    ],
)
def test_how_the_weight_decays_below_its_start(decay, expected):
    t = torch.tensor([0.0, 0.075, 0.15, 0.3, 0.9])
    assert prior_factors(MaskLossSettings(prior_weight=2.0, prior_decay=decay), t).tolist() == pytest.approx(expected)
    gated = MaskLossSettings(prior_weight=2.0, prior_decay=decay, prior_min_t=0.15)
    assert prior_factors(gated, t).tolist() == pytest.approx([0.0, 0.0, 0.0, *expected[3:]])


def test_the_weight_warms_up_from_nothing():
    settings = MaskLossSettings(prior_weight=2.0, prior_warmup_steps=4)
    assert [prior_weight_at(settings, step, 100) for step in range(6)] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.0]
    both = dataclasses.replace(settings, prior_schedule=PriorSchedule.FALL)
    assert prior_weight_at(both, 2, 4) == 2.0 * 0.5 * 0.5


@pytest.mark.parametrize("decay", list(PriorDecay))
def test_each_sample_has_the_prior_of_its_timestep_and_the_teacher_sees_no_other(run, make_cache, decay):
    cache = make_cache([(name, SIZE, half()) for name in "abcd"])
    gated = MaskLossSettings(prior_weight=2.0, prior_min_t=0.4, prior_decay=decay, prior_decay_start=0.8)
    denoiser, watcher = Recording(), Watcher()
    result = run(settings=gated, steps=4, optimizer=FAST, denoiser=denoiser, on=cache, batch_size=4, watcher=watcher)
    assert any("is run for 60% of samples (t above 0.4)" in text for text in watcher.texts)
    calls, mixed = iter(denoiser.calls), 0
    for point in result.points:
        question, student = next(calls)
        if point.prior is None:
            assert not (question[2] > 0.4).any()
            continue
        t, teacher = question[2], student
        question, student = next(calls)
        above = question[2] > 0.4
        assert torch.equal(t, question[2][above]), "the teacher is asked of the samples above the gate alone"
        drift = (student[above] - teacher)[..., SIZE[0] // 2 :].square().mean(dim=(1, 2, 3, 4))
        prior = float((drift * prior_factors(gated, t)).sum() / 4)
        assert point.prior == pytest.approx(prior, rel=1e-4, abs=1e-9)
        inside = student[..., : SIZE[0] // 2].square().mean()
        assert point.loss == pytest.approx(float(inside) + 2.0 * prior, rel=1e-4)
        mixed += 0 < len(t) < 4
    assert mixed, "a step with samples of both kinds"
    assert next(calls, None) is None


def test_a_gate_that_nothing_passes_costs_nothing(run, caplog):
    denoiser = Recording()
    closed = MaskLossSettings(prior_weight=2.0, prior_min_t=0.98)
    watcher = Watcher()
    result = run("closed", closed, denoiser=denoiser, steps=3, timestep_max=0.9, watcher=watcher)
    assert any("is run for 0% of samples (t above 0.98)" in text for text in watcher.texts)
    assert any("does nothing so: lower prior_min_t" in message for message in caplog.messages)
    assert len(denoiser.calls) == 3
    assert [point.prior for point in result.points] == [None] * 3
    assert distance(result, run("none", MaskLossSettings(), steps=3, timestep_max=0.9)) == 0


def test_warming_up_delays_the_teacher_and_changes_what_is_learnt(run, make_cache):
    cache = make_cache([("a", SIZE, half())])
    warm = MaskLossSettings(prior_weight=2.0, prior_warmup_steps=3)
    result = run("warm", warm, steps=5, optimizer=FAST, on=cache)
    assert [point.prior is None for point in result.points] == [True, False, False, False, False]
    plain = run("plain", MaskLossSettings(prior_weight=2.0), steps=5, optimizer=FAST, on=cache)
    assert distance(result, plain) > 1e-6


def test_exclusive_regions_do_not_overlap_and_a_gated_sample_keeps_its_weights(make_cache):
    mask = torch.tensor([0.0, 0.05, 0.1, 0.5, 1.0, 1.0]).expand(1, 1, 6, 6).clone()
    cache = make_cache([(name, SIZE, mask) for name in "abcdefgh"])
    preset = PRESETS["person_prior_gated"]
    assert dataclasses.replace(PRESETS["person_prior"], prior_min_t=0.3) == preset
    occurrences = [[Occurrence(0, entry, 0) for entry in range(8)]]
    (micro,) = plan_window(occurrences, cache, cache.entries, preset, TrainConfig(), DemoDenoiser()).micro_batches
    above = micro.t_B > 0.3
    assert 0 < above.sum() < 8
    plain = mask[0, 0, 0] ** 0.7
    for row, acts in zip(zip(micro.weights_B1Thw, micro.prior_B1Thw, strict=True), above.tolist(), strict=True):
        weights, prior = (each[0, 0, 0] for each in row)
        outside = torch.tensor([1.0, 1.0, 0, 0, 0, 0]) if acts else torch.zeros(6)
        assert torch.equal(prior, outside)
        assert torch.allclose(weights, plain * (1 - outside))
    shared = dataclasses.replace(preset, prior_exclusive=False)
    (micro,) = plan_window(occurrences, cache, cache.entries, shared, TrainConfig(), DemoDenoiser()).micro_batches
    assert torch.allclose(micro.weights_B1Thw[0, 0, 0, 0], plain)


def test_a_gated_run_that_is_cut_goes_on_to_the_same_end(run):
    settings = MaskLossSettings(prior_weight=2.0, prior_min_t=0.5, prior_decay="cosine", prior_warmup_steps=4)
    whole = run("whole", settings, optimizer=FAST, steps=6)
    with pytest.raises(Stop):
        run("cut", settings, watcher=Watcher(3), optimizer=FAST, steps=6)
    assert_same(run("cut", settings, optimizer=FAST, steps=6), whole)


def test_settings_of_the_timesteps_are_checked_and_idle_ones_named():
    with pytest.raises(SettingError, match=r"prior_min_t must be in range \[0, 1\)"):
        MaskLossSettings(prior_min_t=1.0)
    with pytest.raises(SettingError, match="prior_decay must be one of constant, linear, cosine"):
        MaskLossSettings(prior_decay="exponential")
    with pytest.raises(SettingError, match=r"prior_decay_start must be in range \(0, 1\]"):
        MaskLossSettings(prior_decay_start=0.0)
    with pytest.raises(SettingError, match="prior_warmup_steps must be 0"):
        MaskLossSettings(prior_warmup_steps=-1)
    idle = MaskLossSettings(prior_weight=1.0, prior_decay_start=0.5, prior_exclusive=True).settings_without_effect()
    assert idle == (
        "prior_decay_start=0.5 has no effect while prior_decay is constant",
        "prior_exclusive=True has no effect while prior_threshold is 0",
    )
    assert MaskLossSettings(prior_min_t=0.5).settings_without_effect() == (
        "prior_min_t=0.5 has no effect while prior_weight is 0",
    )
