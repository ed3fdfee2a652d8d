"""Sample pictures: drawn from the model that is being trained, and without a trace in the training."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.images import load_image
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.sampling import sample_is_due, sample_sheet
from maskloss.core.train.state import load_state

from .runs import Watcher, assert_same
from .samplers import DROPPING, FAST, Euler


@pytest.mark.parametrize(
    ("steps", "every", "due"), [(5, 2, [0, 2, 4, 5]), (4, 2, [0, 2, 4]), (3, 100, [0, 3]), (2, 1, [0, 1, 2])]
)
def test_when_a_sample_is_due(steps, every, due):
    assert [step for step in range(steps + 1) if sample_is_due(step, steps, every)] == due


def test_samples_change_with_the_lora_and_training_does_not_change_with_them(run, tmp_path):
    shared = {"optimizer": FAST, "lora": DROPPING, "steps": 5}
    plain = run("plain", **shared)
    watcher = Watcher()
    sampled = run("sampled", sampling=Euler(), watcher=watcher, **shared)
    assert_same(plain, sampled)
    states = [load_state(tmp_path / f"{name}.state") for name in ("plain", "sampled")]
    assert all(torch.equal(one, two) for one, two in zip(*(state.adapter for state in states), strict=True))
    files = sorted((tmp_path / "sampled.samples").iterdir())
    assert [file.name for file in files] == [f"step_{step:06d}.png" for step in (0, 2, 4, 5)]
    pictures = [load_image(file)[0] for file in files]
    assert [step for step, _ in watcher.samples] == [0, 2, 4, 5]
    for shown, file in zip((picture for _, picture in watcher.samples), pictures, strict=True):
        assert np.array_equal(shown, file)
    assert not any(np.array_equal(one, two) for one, two in itertools.pairwise(pictures))


def test_the_first_sample_is_the_base_model_and_the_last_the_saved_lora_without_dropout(run, tmp_path):
    denoiser = DemoDenoiser()
    bare = sample_sheet(Euler().draw(denoiser, lambda: None))
    result = run(sampling=Euler(every=3), optimizer=FAST, lora=DROPPING, steps=3)
    assert np.array_equal(load_image(tmp_path / "lora.samples/step_000000.png")[0], bare)
    adapters = LoraAdapters(
        denoiser.module, DROPPING, denoiser.default_targets, torch.Generator(), denoiser.device, torch.float32
    )
    adapters.load(result.lora)
    with adapters.attach():
        expected = sample_sheet(Euler().draw(denoiser, lambda: None))
    assert np.array_equal(load_image(tmp_path / "lora.samples/step_000003.png")[0], expected)
    assert not np.array_equal(bare, expected)


def test_a_finished_run_shows_its_last_picture(run):
    run("lora", steps=2, sampling=Euler())
    watcher = Watcher()
    run("lora", steps=2, sampling=Euler(), watcher=watcher)
    assert [step for step, _ in watcher.samples] == [2]
