import pytest
import torch
from maskloss.core.errors import SettingError
from maskloss.core.train.config import OptimizerConfig, Schedule
from maskloss.core.train.optimizers import (
    MovingAverage,
    OptimizerName,
    build_optimizer,
    learning_rate_at,
    parse_optimizer_args,
)


@pytest.mark.parametrize("text", ["betas=(0.8, 0.9) eps=1e-3", "betas=(0.8,0.9), eps=1e-3", "betas=0.8,0.9; eps=0.001"])
def test_arguments_reach_the_optimizer(text: str):
    optimizer = build_optimizer(OptimizerConfig(optimizer_args=text), [torch.nn.Parameter(torch.zeros(2))])
    assert optimizer.defaults["betas"] == (0.8, 0.9)
    assert optimizer.defaults["eps"] == 1e-3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("beta=0.9", "betas, eps, amsgrad"),
        ("lr=1", "betas, eps, amsgrad"),
        ("eps", "key=value"),
        ("eps=__import__('os')", "write a number"),
        ("betas=(2, 3)", "refused by adamw"),
        ("betas=3", "refused by adamw"),
    ],
)
def test_bad_arguments_are_refused_with_the_reason(text: str, says: str):
    with pytest.raises(SettingError, match=says):
        parse_optimizer_args(OptimizerName.ADAMW, text)


@pytest.mark.parametrize("name", list(OptimizerName))
def test_every_optimizer_goes_downhill_with_its_own_settings(name: OptimizerName):
    x = torch.nn.Parameter(torch.tensor([[3.0, -2.0]]))
    config = OptimizerConfig(name=name, learning_rate=0.1, weight_decay=0.25)
    optimizer = build_optimizer(config, [x])
    assert optimizer.param_groups[0]["lr"] == 0.1
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    for _ in range(20):
        optimizer.zero_grad()
        x.square().sum().backward()
        optimizer.step()
    assert x.square().sum() < 13.0 * 0.9


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
