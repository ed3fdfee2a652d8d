"""Every field of the configurations has an effect."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, Schedule, TimestepSampling, TrainingDtype
from maskloss.core.train.loop import TrainResult
from maskloss.core.train.optimizers import OptimizerName

from .runs import LORA, distance


@pytest.mark.parametrize(
    "changed",
    [
        {"lora": LoraConfig(rank=2, alpha=8.0)},
        {"lora": dataclasses.replace(LORA, dropout=0.5)},
        {"optimizer": OptimizerConfig(learning_rate=2e-3)},
        {"optimizer": OptimizerConfig(learning_rate=1e-3, weight_decay=0.9)},
        {"optimizer": OptimizerConfig(learning_rate=1e-3, lr_scheduler=Schedule.LINEAR)},
        {"optimizer": OptimizerConfig(learning_rate=1e-3, warmup_steps=3)},
        {"optimizer": OptimizerConfig(learning_rate=1e-3, ema_decay=0.99)},
        {"optimizer": OptimizerConfig(learning_rate=1e-3, optimizer_args="betas=(0.5, 0.6)")},
        {"optimizer": OptimizerConfig(learning_rate=1e-3, name=OptimizerName.RADAM)},
        {"seed": 1},
        {"batch_size": 2},
        {"gradient_accumulation_steps": 2},
        {"timestep_sampling": TimestepSampling.LOGIT_NORMAL},
        {"timestep_sampling": TimestepSampling.SHIFT},
        {"timestep_min": 0.5},
        {"timestep_max": 0.5},
        {"caption_dropout": 1.0},
        {"validation_split": 0.25},
        {"training_dtype": TrainingDtype.BF16},
        {"settings": MaskLossSettings(gamma=2.0)},
        {"settings": MaskLossSettings(min_weight=0.2)},
        {"settings": MaskLossSettings(prior_weight=1.0)},
        {"settings": None},
    ],
    ids=str,
)
def test_the_setting_changes_what_is_learnt(run, changed):
    assert distance(run("plain"), run("changed", **changed)) > 1e-7


def test_clipping_bounds_the_step_and_the_log_has_the_norm_before(run):
    sgd = {"name": OptimizerName.SGD, "learning_rate": 1.0, "weight_decay": 0.0}
    free = run("free", optimizer=OptimizerConfig(max_grad_norm=0.0, **sgd), steps=1)
    clipped = run("clipped", optimizer=OptimizerConfig(max_grad_norm=0.01, **sgd), steps=1)
    assert free.points[0].grad_norm == clipped.points[0].grad_norm > 0.01

    def moved(result: TrainResult) -> float:
        ups = [value for key, value in result.lora.items() if "lora_up" in key]
        return float(torch.cat([up.flatten() for up in ups]).norm())

    assert moved(clipped) == pytest.approx(0.01, rel=1e-3)
    assert moved(free) == pytest.approx(free.points[0].grad_norm, rel=1e-3)


def test_rank_targets_and_dtype_shape_the_file(run):
    result = run(lora=LoraConfig(rank=3, targets="qkv"))
    assert len(result.lora) == 4 * 3
    assert result.lora["diffusion_model.blocks.0.qkv.lora_down.weight"].shape == (3, 128)


def test_learning_rate_in_the_log_follows_the_schedule(run):
    result = run(optimizer=OptimizerConfig(learning_rate=1e-3, lr_scheduler=Schedule.LINEAR), steps=4)
    assert [point.learning_rate for point in result.points] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])
