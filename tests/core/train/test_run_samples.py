"""The sample pictures of a run: drawn once where they are due, measured beside the base model's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from maskloss.core.images import load_image
from maskloss.core.people.faces import Face
from maskloss.core.people.identity import Identity
from maskloss.core.scores.picture_scores import PictureScorer
from maskloss.core.train.config import OnExisting
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.state import load_state
from maskloss.core.warning import collect_warnings

from .runs import Stop, Watcher, assert_same
from .samplers import FAST, Euler, SamplingStops


class Nobody:
    """A recogniser that finds no face."""

    name = identity = "nobody/1"
    default_min_similarity = 0.5

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        return []

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        return 0.0


class Measured(Euler):
    """Its pictures are scored, beside those of the base model."""

    def scorer(self, *_: object) -> PictureScorer:
        return PictureScorer(Nobody(), Identity(np.ones((1, 1), np.float32), Nobody.identity, ("nobody",)))


def test_a_sample_that_fails_is_a_warning_and_training_goes_on(run, tmp_path):
    plain = run("plain", optimizer=FAST)
    with collect_warnings() as given:
        result = run("lora", sampling=Euler(failing=lambda call: call == 2), optimizer=FAST)
    assert_same(result, plain)
    assert "No sample picture after step 2: out of memory. Training goes on." in given.texts
    assert sorted(file.name for file in (tmp_path / "lora.samples").iterdir()) == ["step_000000.png", "step_000004.png"]


def test_a_sample_that_fails_before_the_first_step_stops_the_run_while_nothing_is_lost(run):
    watcher = Watcher()
    with pytest.raises(torch.OutOfMemoryError):
        run(sampling=Euler(failing=lambda _: True), watcher=watcher)
    assert watcher.points == []


def test_an_interrupt_while_sampling_keeps_the_step_and_the_picture_is_drawn_when_the_run_goes_on(run, tmp_path):
    whole = run("whole", optimizer=FAST, sampling=Euler())
    with pytest.raises(Stop):
        run("cut", optimizer=FAST, sampling=Euler(), watcher=SamplingStops(2))
    assert load_lora(tmp_path / "cut.safetensors").metadata["ss_steps"] == "2"
    assert [file.name for file in (tmp_path / "cut.samples").iterdir()] == ["step_000000.png"]
    assert_same(run("cut", optimizer=FAST, sampling=Euler()), whole)
    for file in (tmp_path / "whole.samples").iterdir():
        assert file.read_bytes() == (tmp_path / "cut.samples" / file.name).read_bytes()


def test_samples_may_be_added_to_a_run_that_goes_on_and_overwrite_removes_them(run, tmp_path):
    run("lora", steps=2)
    run("lora", steps=4, sampling=Euler(every=3))
    assert sorted(file.name for file in (tmp_path / "lora.samples").iterdir()) == ["step_000003.png", "step_000004.png"]
    (tmp_path / "lora.samples/mine.png").write_bytes(b"x")
    run("lora", steps=1, on_existing=OnExisting.OVERWRITE)
    assert [file.name for file in (tmp_path / "lora.samples").iterdir()] == ["mine.png"]


def test_the_base_model_is_drawn_once_for_the_scores_and_is_the_run_before_its_first_step(run, tmp_path):
    sampler = Measured()
    run("lora", steps=5, sampling=sampler, optimizer=FAST)
    assert sampler.calls == 4 + 1
    samples = tmp_path / "lora.samples"
    (base,) = [path for path in tmp_path.rglob("*.png") if not path.name.startswith("step_")]
    pictures = [load_image(samples / f"step_{step:06d}.png")[0] for step in (0, 5)]
    assert np.array_equal(load_image(base)[0], pictures[0])
    assert not np.array_equal(*pictures)
    history = load_state(tmp_path / "lora.state").history
    scored = {step: history.scores_at(step) for step in (0, 2, 4, 5)}
    assert [None if each is None else (each.pictures, each.faces) for each in scored.values()] == [(1, 0)] * 4
    assert scored[0].drift is None
    assert history.scores_at(3) is None
