"""fp16 arithmetic: the loss is scaled, a step whose gradients overflow is done again, and a run resumes exactly."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import NonFiniteLossError
from maskloss.core.train.config import OptimizerConfig, TrainingDtype
from maskloss.core.train.loss_scale import LossScale
from maskloss.core.train.optimizers import OptimizerName
from maskloss.core.train.state import load_state

from .runs import assert_same, distance

FP16 = {"training_dtype": TrainingDtype.FP16}


def test_gradients_get_their_own_size_back():
    weight = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
    scale = LossScale()
    scale.scale_loss(weight.square().sum()).backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, 2.0**16 * torch.tensor([4.0, 6.0]))
    scale.unscale([weight, torch.nn.Parameter(torch.zeros(1))])
    assert torch.equal(weight.grad, torch.tensor([4.0, 6.0]))


def test_the_factor_halves_on_overflow_and_doubles_after_two_thousand_good_steps():
    scale = LossScale()
    assert scale.reduce()
    assert scale.to_save == (2.0**15, 0)
    for _ in range(1999):
        scale.record_success()
    assert scale.to_save == (2.0**15, 1999)
    scale.record_success()
    assert scale.to_save == (2.0**16, 0)
    again = LossScale()
    again.restore((4.0, 7))
    assert again.to_save == (4.0, 7)
    assert [LossScale.reduce(again) for _ in range(17)] == [True] * 16 + [False]


def test_fp16_learns_what_fp32_learns(run):
    sgd = OptimizerConfig(name=OptimizerName.SGD, learning_rate=1.0)
    exact, half = run("fp32", optimizer=sgd), run("fp16", optimizer=sgd, **FP16)
    assert 1e-7 < distance(exact, half) < 2e-3
    for mine, its in zip(exact.points, half.points, strict=True):
        assert mine.loss == pytest.approx(its.loss, rel=0.02)
        assert mine.grad_norm == pytest.approx(its.grad_norm, rel=0.05)


# Between powers of two, as the scale is one: which of them overflow must not hang on how a processor rounds.
MOST = 1.5 * 2.0**14


class Overflowing(DemoDenoiser):
    """Its gradients are infinite while they are more than `most` times the largest error's share of the mean."""

    def __init__(self, most: float) -> None:
        super().__init__()
        self.passes = 0
        self._most = most

    def predict(self, *arguments: object) -> torch.Tensor:
        difference = super().predict(*arguments)
        self.passes += 1
        # The gradient of a scaled mean of squares, so this is the scale up to a known factor.
        size = difference.detach().abs().max() / difference.numel()
        difference.register_hook(lambda grad: grad * float("inf") if grad.abs().max() > self._most * size else grad)
        return difference


def test_a_step_that_overflows_is_done_again_with_a_smaller_scale(run, tmp_path):
    denoiser = Overflowing(MOST)
    result = run("lora", settings=None, denoiser=denoiser, steps=3, **FP16)
    assert denoiser.passes > 3
    assert [point.step for point in result.points] == [1, 2, 3], "no step is left out"
    assert load_state(tmp_path / "lora.state").loss_scale[0] < 2.0**16
    plain = run("plain", settings=None, steps=3, **FP16)
    assert [point.loss for point in result.points] == pytest.approx([point.loss for point in plain.points], rel=1e-3)


def test_the_scale_is_part_of_what_a_run_resumes_from(run, tmp_path):
    shared = {"settings": None, **FP16}
    whole = run("whole", steps=5, denoiser=Overflowing(MOST), **shared)
    run("cut", steps=2, denoiser=Overflowing(MOST), **shared)
    resumed = Overflowing(MOST)
    assert_same(run("cut", steps=5, denoiser=resumed, **shared), whole)
    assert resumed.passes == 3, "nothing overflows again"
    assert load_state(tmp_path / "cut.state").loss_scale == load_state(tmp_path / "whole.state").loss_scale


def test_gradients_that_never_become_finite_are_an_error(run):
    with pytest.raises(NonFiniteLossError, match="gradient"):
        run(denoiser=Overflowing(-1.0), settings=None, **FP16)
