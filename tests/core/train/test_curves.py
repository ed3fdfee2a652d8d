from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from maskloss.core.cache.store import LatentCache
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.train.config import LoraConfig, OnExisting, OptimizerConfig, TrainConfig
from maskloss.core.train.curves import Curves
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.recipe import TrainingRecipe

Run = Callable[..., TrainResult]


@pytest.fixture
def run(make_cache: Callable[..., LatentCache], tmp_path: Path) -> Run:
    ones = torch.ones(1, 1, 4, 4)
    cache = make_cache([("a", (4, 4), ones), ("b", (4, 4), ones), ("c", (4, 4), ones)])

    def start(**config: object) -> TrainResult:
        chosen = TrainConfig(**{"gradient_checkpointing": False, "validation_split": 0.34, **config})
        recipe = TrainingRecipe(cache, MaskLossSettings(), LoraConfig(rank=2), OptimizerConfig(), chosen)
        return train(DemoDenoiser(), recipe, tmp_path / "lora")

    return start


def test_a_run_and_its_continuation_are_one_curve(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def curves() -> EventAccumulator:
        return EventAccumulator(str(tmp_path / "tensorboard" / "lora")).Reload()

    run(steps=2)
    result = run(steps=4)
    read = curves()
    losses = read.Scalars("loss")
    assert [event.step for event in losses] == [1, 2, 3, 4]
    assert [event.value for event in losses] == pytest.approx([point.loss for point in result.points])
    validation = {event.step: event.value for event in read.Scalars("validation")}
    assert validation == pytest.approx(dict(result.validation))
    # The masks are all ones: nothing is outside.
    assert set(read.Tags()["scalars"]) == {
        "loss", "inside", "coverage", "learning_rate", "grad_norm", "validation",
    }  # fmt: skip
    run(steps=1, on_existing=OnExisting.OVERWRITE)
    assert [event.step for event in curves().Scalars("loss")] == [1]


def test_the_scores_of_checkpoints_are_curves_too(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curves = Curves(tmp_path, 0)
    curves.add_scores(CheckpointScores(0, 2, 0, drift=0.0))
    curves.add_scores(
        CheckpointScores(100, 2, 1, 0.5, 0.1, bleed=0.25, copy_risk=-0.125, background_leak=0.0625, drift=0.5)
    )
    curves.close()
    read = EventAccumulator(str(tmp_path)).Reload()
    found = {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    assert found == {
        "scores/likeness": [(100, 0.5)],
        "scores/bleed": [(100, 0.25)],
        "scores/copy_risk": [(100, -0.125)],
        "scores/background_leak": [(100, 0.0625)],
        "scores/drift": [(0, 0.0), (100, 0.5)],
    }, "no face is no point"


def test_without_tensorboard_nothing_is_written(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert run(steps=1).steps == 1
    assert not (tmp_path / "tensorboard").exists()
