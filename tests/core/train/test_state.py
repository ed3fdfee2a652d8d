"""A run that is cut, by an interrupt or by numbers that are none, keeps what was learnt and goes on to the same end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import DiskError, NonFiniteLossError, TrainingError
from maskloss.core.train.config import LoraDtype, OptimizerConfig, Schedule
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.metrics import LossPoint
from maskloss.core.train.optimizers import OptimizerName

from .runs import LORA, Stop, Watcher, assert_same, full_disk


def test_an_interrupt_leaves_a_loadable_lora_and_the_run_goes_on_to_the_same_end(run, tmp_path):
    optimizer = OptimizerConfig(learning_rate=1e-3, ema_decay=0.9, lr_scheduler=Schedule.COSINE, warmup_steps=2)
    lora = dataclasses.replace(LORA, dropout=0.2)
    whole = run("whole", lora=lora, optimizer=optimizer, steps=7, gradient_accumulation_steps=2)
    with pytest.raises(Stop):
        run("cut", lora=lora, optimizer=optimizer, steps=7, gradient_accumulation_steps=2, watcher=Watcher(3))
    assert load_lora(tmp_path / "cut.safetensors").metadata["ss_steps"] == "3"
    assert len((tmp_path / "cut.jsonl").read_text().splitlines()) == 3
    # Again in the middle of a window: its gradients are forgotten.
    with pytest.raises(Stop):
        run(
            "cut",
            lora=lora,
            optimizer=optimizer,
            steps=7,
            gradient_accumulation_steps=2,
            watcher=Watcher(stop_at_check=4),
        )
    assert load_lora(tmp_path / "cut.safetensors").metadata["ss_steps"] == "4"
    watcher = Watcher()
    resumed = run("cut", lora=lora, optimizer=optimizer, steps=7, gradient_accumulation_steps=2, watcher=watcher)
    assert_same(resumed, whole)
    assert "Going on after step 4 of 7." in watcher.texts
    assert [point.step for point in watcher.points] == [5, 6, 7]
    assert (tmp_path / "cut.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("cut")) == [
        "cut.jsonl",
        "cut.safetensors",
        "cut.state",
    ]


@pytest.mark.parametrize("name", [OptimizerName.ADAFACTOR, OptimizerName.RADAM, OptimizerName.SGD])
def test_every_optimizer_resumes_exactly(run, name):
    optimizer = OptimizerConfig(name=name, learning_rate=1e-2)
    whole = run("whole", optimizer=optimizer, steps=5)
    run("cut", optimizer=optimizer, steps=3)
    assert_same(run("cut", optimizer=optimizer, steps=5), whole)


def test_a_bf16_lora_resumes_exactly_and_is_saved_as_it_was_trained(run):
    whole = run("whole", steps=4, lora_dtype=LoraDtype.BF16)
    run("cut", steps=2, lora_dtype=LoraDtype.BF16)
    resumed = run("cut", steps=4, lora_dtype=LoraDtype.BF16)
    assert_same(resumed, whole)
    assert resumed.lora["diffusion_model.final.lora_up.weight"].dtype == torch.bfloat16


def test_a_non_finite_loss_names_its_item_and_keeps_what_was_learnt_before(run, cache, tmp_path):
    for name in "abcd":
        latents = {**cache.latents, name: torch.full_like(cache.latents[name], float("nan"))}
        broken = dataclasses.replace(cache, latents=latents)
        watcher = Watcher()
        with pytest.raises(NonFiniteLossError, match=rf"in step \d at {name};"):
            run(f"broken-{name}", on=broken, steps=8, watcher=watcher)
        saved = load_lora(tmp_path / f"broken-{name}.safetensors")
        assert saved.metadata["ss_steps"] == str(len(watcher.points))
        assert all(bool(torch.isfinite(tensor).all()) for tensor in saved.values())


def test_a_non_finite_gradient_stops_before_the_update(run, tmp_path):
    class Exploding(DemoDenoiser):
        def predict(self, *arguments: object) -> torch.Tensor:
            difference = super().predict(*arguments)
            difference.register_hook(lambda gradient: gradient * float("inf"))
            return difference

    with pytest.raises(NonFiniteLossError, match="gradient"):
        run(denoiser=Exploding())
    up = load_lora(tmp_path / "lora.safetensors")["diffusion_model.final.lora_up.weight"]
    assert torch.equal(up, torch.zeros_like(up))


class FillsTheDisk(Watcher):
    """After the second step nothing can be written to the log any more."""

    def __init__(self, log: Path) -> None:
        super().__init__()
        self._log = log

    def step(self, point: LossPoint, total_steps: int) -> None:
        super().step(point, total_steps)
        if point.step == 2:
            self._log.unlink()
            self._log.symlink_to("/dev/full")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_stops_the_run_which_goes_on_to_the_same_end_when_there_is_room(run, tmp_path):
    whole = run("whole", steps=5)
    with pytest.raises(DiskError, match="make room"):
        run("full", steps=5, watcher=FillsTheDisk(tmp_path / "full.jsonl"))
    assert load_lora(tmp_path / "full.safetensors").metadata["ss_steps"] == "3"
    assert_same(run("full", steps=5), whole)
    assert (tmp_path / "full.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()


def test_a_disk_that_fills_while_the_state_is_written_is_named_and_the_run_goes_on_to_the_same_end(run, tmp_path):
    whole = run("whole", steps=5)
    run("full", steps=2)
    lora, state = ((tmp_path / f"full.{suffix}").stat().st_size for suffix in ("safetensors", "state"))
    assert lora < 0.9 * state
    with full_disk((lora + state) // 2), pytest.raises(DiskError, match=r"full\.state cannot be written"):
        run("full", steps=5)
    assert_same(run("full", steps=5), whole)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("part", "value"),
    [("warnings", 7), ("warnings", [None]), ("points", []), ("step", -1), ("step", 2), ("step", 2**70)],
)
def test_a_state_that_contradicts_itself_is_said(run, tmp_path, part, value):
    run("lora", steps=3)
    path = tmp_path / "lora.state"
    content = torch.load(path, weights_only=True)
    course = json.loads(content["course"])
    (content if part == "step" else course)[part] = value
    torch.save({**content, "course": json.dumps(course)}, path)
    with pytest.raises(TrainingError, match=r"lora\.state is damaged or of something else"):
        run("lora", steps=4)
