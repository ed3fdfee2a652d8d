"""What the loop tells goes to history, log and whoever watches; a stop between two of these loses nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.metrics import History, LossPoint
from maskloss.core.train.observer import SilentObserver
from maskloss.core.train.recorder import Recorder
from maskloss.core.train.run import RunFiles

from .runs import SIZE, Stop, Watcher, half
from .test_sampling import Euler


class Listener(SilentObserver):
    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def step(self, point: LossPoint, total_steps: int) -> None:
        self.told.append(("step", point.step))

    def on_validation(self, step: int, value: float) -> None:
        self.told.append(("validated", step))

    def on_sample(self, step: int, picture: np.ndarray) -> None:
        self.told.append(("sampled", step))

    def on_scores(self, scores: CheckpointScores) -> None:
        self.told.append(("scored", scores.step))


def test_everything_goes_everywhere_in_order(tmp_path: Path) -> None:
    history, listener = History([LossPoint(1, 0.5, None, 0.5, 0.5, 1e-4, 1.0)], [(0, 1.5)]), Listener()
    with Recorder(RunFiles(tmp_path / "lora"), history, listener) as recorder:
        history.points.append(LossPoint(2, 0.25, 0.25, None, 0.5, 1e-4, 1.0))
        recorder.record_step(history.points[-1])
        recorder.record_validation(2, 1.25)
        recorder.announce(9)
        recorder.record_sample(2, np.zeros((8, 8, 3), np.uint8), None)
        recorder.record_sample(2, np.zeros((8, 8, 3), np.uint8), CheckpointScores(2, 1, 0))
    assert listener.told == [("validated", 2), ("step", 2), ("sampled", 2), ("sampled", 2), ("scored", 2)]
    assert history.validation == [(0, 1.5), (2, 1.25)]
    assert history.scores_at(2) == CheckpointScores(2, 1, 0)
    assert history.scores_at(1) is None
    lines = [json.loads(line) for line in (tmp_path / "lora.jsonl").read_text().splitlines()]
    kinds = [(line["step"], next(name for name in ("validation", "scores", "loss") if name in line)) for line in lines]
    assert kinds == [(0, "validation"), (1, "loss"), (2, "loss"), (2, "validation"), (2, "scores")]


def test_a_run_that_was_stopped_before_it_kept_a_step_keeps_it_when_it_goes_on(run, tmp_path: Path) -> None:
    whole = run("whole", steps=4, save_every=2)
    with pytest.raises(Stop):
        run("cut", steps=4, save_every=2, watcher=Watcher(2))
    assert not (tmp_path / "cut-step00000002.safetensors").exists()
    run("cut", steps=4, save_every=2)
    kept, wanted = (load_lora(tmp_path / f"{name}-step00000002.safetensors") for name in ("cut", "whole"))
    assert all(torch.equal(kept[key], wanted[key]) for key in wanted)
    assert not (tmp_path / f"cut-step{4:08d}.safetensors").exists()
    assert whole.steps == 4


def test_a_run_that_was_stopped_in_an_evaluation_makes_it_when_it_goes_on(run, make_cache, tmp_path: Path) -> None:
    held_out = make_cache([("x", SIZE, half())])
    whole_watcher = Watcher()
    whole = run("whole", steps=4, save_every=2, validation_cache=held_out, watcher=whole_watcher)
    for at in range(1, whole_watcher.checks + 1):
        with pytest.raises(Stop):
            run(f"cut{at}", steps=4, save_every=2, validation_cache=held_out, watcher=Watcher(stop_at_check=at))
        resumed = run(f"cut{at}", steps=4, save_every=2, validation_cache=held_out)
        assert resumed.validation == whole.validation, f"stopped at check {at}"
        assert (tmp_path / f"cut{at}.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_run_that_was_stopped_while_it_drew_has_every_picture_when_it_goes_on(run, tmp_path: Path) -> None:
    def pictures(name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / f"{name}.samples").glob("*.png")}

    watcher = Watcher()
    run("whole", steps=2, sampling=Euler(), watcher=watcher)
    assert len(pictures("whole")) == 2
    for at in range(1, watcher.checks + 1):
        with pytest.raises(Stop):
            run(f"cut{at}", steps=2, sampling=Euler(), watcher=Watcher(stop_at_check=at))
        run(f"cut{at}", steps=2, sampling=Euler())
        assert pictures(f"cut{at}") == pictures("whole"), f"stopped at check {at}"
    finished = Watcher()
    run("whole", steps=2, sampling=Euler(), watcher=finished)
    assert any("nothing to train" in text for text in finished.texts)
