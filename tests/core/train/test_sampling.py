"""Sample pictures: drawn from the model that is being trained, and without a trace in the training."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.images import load_image
from maskloss.core.scores.checkpoint_scores import POSITIVE
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig, OnExisting, OptimizerConfig
from maskloss.core.train.denoiser import Denoiser
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.sampling import Samples, sample_is_due, sample_sheet
from maskloss.core.train.state import load_state
from maskloss.core.warning import collect_warnings

from .runs import Stop, Watcher, assert_same

FAST = OptimizerConfig(learning_rate=2e-2, ema_decay=0.5)
DROPPING = LoraConfig(rank=2, alpha=4.0, dropout=0.3)


class Euler:
    """A picture sampler for the demo model, from noise to the clean latent; it uses the global generator, too."""

    def __init__(self, every: int = 2, failing: Callable[[int], bool] = lambda _: False) -> None:
        self.every = every
        self.calls = 0
        self._failing = failing

    def scorer(self, *_: object) -> None:
        return None

    def draw(self, denoiser: Denoiser, check: Callable[[], None]) -> Samples:
        self.calls += 1
        if self._failing(self.calls):
            raise torch.OutOfMemoryError("out of memory")
        torch.manual_seed(3)
        x = torch.randn(1, 16, 1, 6, 6)
        with torch.no_grad():
            for t in (1.0, 0.75, 0.5, 0.25):
                check()
                zeros = torch.zeros_like(x)
                velocity = denoiser.predict(zeros, x / t, torch.tensor([t]), [{"tokens": torch.ones(1, 64)}], False)
                x = x - 0.25 * (velocity + x / t)
        picture_HWC = (x[0, :3, 0].movedim(0, -1) * 40 + 128).round().clamp(0, 255).to(torch.uint8).numpy()
        return {POSITIVE: picture_HWC[None, None]}


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


def test_a_finished_run_shows_its_last_picture(run):
    run("lora", steps=2, sampling=Euler())
    watcher = Watcher()
    run("lora", steps=2, sampling=Euler(), watcher=watcher)
    assert [step for step, _ in watcher.samples] == [2]


class SamplingStops(Watcher):
    """Interrupts in the sampler's second step after optimizer step `wanted`."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self._wanted, self._checks_since_step = wanted, 0

    def step(self, point, total_steps):
        super().step(point, total_steps)
        self._checks_since_step = 0

    def check(self) -> None:
        self._checks_since_step += 1
        if self.points and self.points[-1].step == self._wanted and self._checks_since_step == 2:
            raise Stop
