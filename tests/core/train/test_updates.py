"""One optimizer step: the learning rate of every step, and what stands for what has been learnt."""

import pytest
import torch
from maskloss.core.train.config import OptimizerConfig, Schedule
from maskloss.core.train.optimizers import OptimizerName
from maskloss.core.train.updates import (
    MovingAverage,
    build_optimizer,
    effective_rate,
    evaluated_values,
    learning_rate_at,
)


def test_schedule_free_values_are_the_average_and_asking_changes_no_bit():
    x = torch.nn.Parameter(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))
    config = OptimizerConfig(name=OptimizerName.SCHEDULE_FREE_ADAMW, learning_rate=0.05)
    optimizer = build_optimizer(config, [x])
    for _ in range(5):
        x.grad = x.detach().clone()
        optimizer.step()
    before = x.detach().clone()
    value = evaluated_values(optimizer, [x])[0]
    assert torch.equal(x, before)
    assert optimizer.param_groups[0]["train_mode"]
    # y = (1 - beta1) z + beta1 x, with z in the optimizer's state (arXiv 2405.15682).
    assert torch.allclose(0.1 * optimizer.state[x]["z"] + 0.9 * value, before, atol=1e-6)
    assert not torch.allclose(value, before)


def test_the_rate_of_prodigy_is_what_it_found():
    x = torch.nn.Parameter(torch.tensor([[3.0, -2.0], [1.0, 1.5]]))
    optimizer = build_optimizer(OptimizerConfig(name=OptimizerName.PRODIGY, learning_rate=0.5), [x])
    for _ in range(8):
        x.grad = x.detach().clone()
        optimizer.step()
    assert effective_rate(optimizer) == 0.5 * optimizer.param_groups[0]["d"]
    assert optimizer.param_groups[0]["d"] > 1e-5
    # Adafactor's d is another thing.
    plain = OptimizerConfig(name=OptimizerName.ADAFACTOR, learning_rate=0.5, optimizer_args="d=2.0")
    assert effective_rate(build_optimizer(plain, [x])) == 0.5


def test_sgd_step_is_the_gradient_times_the_rate():
    x = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = build_optimizer(OptimizerConfig(name=OptimizerName.SGD, learning_rate=0.5, weight_decay=0.1), [x])
    (3 * x).sum().backward()
    optimizer.step()
    assert x.item() == pytest.approx(1.0 - 0.5 * (3 + 0.1))


def test_schedules():
    def rates(schedule: Schedule, warmup: int) -> list[float]:
        config = OptimizerConfig(learning_rate=1.0, lr_scheduler=schedule, warmup_steps=warmup)
        return [learning_rate_at(step, 10, config) for step in range(10)]

    assert rates(Schedule.CONSTANT, 0) == [1.0] * 10
    assert rates(Schedule.LINEAR, 0) == pytest.approx([1 - step / 10 for step in range(10)])
    cosine = rates(Schedule.COSINE, 0)
    assert cosine[0] == 1.0
    assert cosine[5] == pytest.approx(0.5)
    assert cosine[9] < 0.03
    assert rates(Schedule.LINEAR, 4)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert rates(Schedule.LINEAR, 4)[9] == pytest.approx(1 / 6)


def test_moving_average_follows_slowly():
    parameter = torch.nn.Parameter(torch.zeros(1))
    average = MovingAverage(0.9, [parameter])
    parameter.data.fill_(1.0)
    average.update([parameter], 0)
    assert average.values[0].item() == pytest.approx(0.9)  # early decay 1/10
    average.values[0].zero_()
    average.update([parameter], 1000)
    assert average.values[0].item() == pytest.approx(0.1)
