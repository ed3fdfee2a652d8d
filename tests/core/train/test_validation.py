"""The loss on pictures that are not trained on."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.checks import Split
from maskloss.core.train.config import OptimizerConfig, TrainConfig
from maskloss.core.train.denoiser import Family
from maskloss.core.train.draws import timesteps
from maskloss.core.train.observer import SilentObserver
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.train.state import TrainState
from maskloss.core.train.validation import validation_loss
from maskloss.core.train.window import min_snr_weight

from .runs import LORA, SIZE, Stop, Watcher, distance, half


def test_validation_is_measured_at_start_saves_epochs_and_end_and_disturbs_nothing(run, make_cache, tmp_path):
    held_out = make_cache([("x", SIZE, half()), ("y", (8, 4), None)])
    lora = dataclasses.replace(LORA, dropout=0.3)
    plain = run("plain", lora=lora, steps=9, save_every=3)
    watched = run("watched", lora=lora, steps=9, save_every=3, validation_cache=held_out)
    assert [step for step, _ in watched.validation] == [0, 3, 4, 6, 8, 9]
    assert plain.points == watched.points
    assert distance(plain, watched) == 0
    lines = [json.loads(line) for line in (tmp_path / "watched.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [0, 3, 4, 6, 8, 9]
    with pytest.raises(Stop):
        run("cut", lora=lora, steps=9, save_every=3, validation_cache=held_out, watcher=Watcher(5))
    assert run("cut", lora=lora, steps=9, save_every=3, validation_cache=held_out).validation == watched.validation


def test_validation_sees_learning_and_the_mask(run, cache):
    fast = OptimizerConfig(learning_rate=5e-3)
    result = run(steps=40, batch_size=2, optimizer=fast, validation_cache=cache)
    values = [value for _, value in result.validation]
    assert values[-1] < 0.95 * values[0]
    unmasked = run("unmasked", None, steps=1, validation_cache=cache)
    assert unmasked.validation[0][1] != pytest.approx(values[0], rel=1e-3)


class NoiseModel(DemoDenoiser):
    """The demo model, said to predict noise."""

    family = Family.EPS


def evaluated(cache, settings=None, denoiser=None, **config) -> float:
    denoiser, chosen = denoiser or DemoDenoiser(), TrainConfig(**config)
    state = TrainState(denoiser, TrainingRecipe(cache, settings, LORA, OptimizerConfig(), chosen))
    split = Split(tuple(cache.entries), tuple(cache.entries), cache)
    with state.adapters.attach():
        value = validation_loss(split, denoiser, state.adapters, settings, chosen, SilentObserver())
    assert value is not None
    return value


def test_area_beta_acts_as_in_training(make_cache):
    cache = make_cache([("x", SIZE, half())])
    plain = evaluated(cache, MaskLossSettings())
    assert evaluated(cache, MaskLossSettings(area_beta=1.0)) == pytest.approx(plain / 2), "half of it is masked"
    assert evaluated(make_cache([("x", SIZE, None)]), MaskLossSettings(area_beta=1.0)) == pytest.approx(
        evaluated(make_cache([("x", SIZE, None)]), MaskLossSettings())
    ), "what has no mask has no area"


def test_min_snr_acts_as_in_training_at_each_timestep(make_cache):
    cache, model = make_cache([("x", SIZE, half())]), NoiseModel()
    plain = evaluated(cache, denoiser=model)
    # Near the noise the signal is weak: nothing is above gamma, and nothing changes.
    noisy = {"timestep_min": 0.9, "timestep_max": 1.0}
    assert evaluated(cache, denoiser=model, min_snr_gamma=5.0, **noisy) == evaluated(cache, denoiser=model, **noisy)
    limited = evaluated(cache, denoiser=model, min_snr_gamma=0.5)
    t_B = timesteps((torch.arange(4, dtype=torch.float64) + 0.5) / 4, TrainConfig(), model)
    least = float(min_snr_weight(model, t_B, 0.5).min())
    assert least * plain < limited < 0.9 * plain


def test_an_evaluation_always_masks_and_holds_nothing_back(make_cache):
    cache = make_cache([("x", SIZE, half())])
    plain = evaluated(cache, MaskLossSettings())
    assert evaluated(cache, MaskLossSettings(probability=0.1)) == plain
    assert evaluated(cache, MaskLossSettings(prior_weight=1.0)) == plain
    assert evaluated(cache, MaskLossSettings(), caption_dropout=1.0) == plain
    assert evaluated(cache, None) != pytest.approx(plain, rel=1e-3)
