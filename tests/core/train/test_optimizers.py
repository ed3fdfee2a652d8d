import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from maskloss.core.cache.store import LatentCache
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import SettingError
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import Algorithm, LoraConfig, OptimizerConfig, Schedule, TrainConfig
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.lora_file import LoraWeights
from maskloss.core.train.optimizers import OptimizerName, parse_optimizer_args
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.train.state import load_state
from maskloss.core.train.updates import (
    build_optimizer,
    evaluated_values,
)

# Without bitsandbytes its optimizer cannot run.
HERE = [
    name
    for name in OptimizerName
    if name is not OptimizerName.ADAMW_8BIT or importlib.util.find_spec("bitsandbytes") is not None
]

# Prodigy starts from a millionth, which it needs more than a few steps to grow out of.
ARGS = {OptimizerName.PRODIGY: "d0=0.05"}


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


@pytest.mark.parametrize("name", HERE)
def test_every_optimizer_goes_downhill_with_its_own_settings(name: OptimizerName):
    x = torch.nn.Parameter(torch.tensor([[3.0, -2.0], [1.0, 1.5]]))
    rate = 1.0 if name is OptimizerName.PRODIGY else 0.1
    config = OptimizerConfig(name=name, learning_rate=rate, weight_decay=0.25, optimizer_args=ARGS.get(name, ""))
    optimizer = build_optimizer(config, [x])
    assert optimizer.param_groups[0]["lr"] == rate
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    for _ in range(20):
        optimizer.zero_grad()
        x.square().sum().backward()
        optimizer.step()
    assert evaluated_values(optimizer, [x])[0].square().sum() < 16.25 * 0.9


@pytest.mark.parametrize("name", HERE)
def test_decay_and_rate_reach_the_step(name: OptimizerName):
    """From the same point a larger rate goes farther, and decay pulls to zero beside a gradient that hardly does."""

    def after(steps: int, rate: float, decay: float, gradient: float) -> torch.Tensor:
        x = torch.nn.Parameter(torch.eye(2) * 2 + 1)
        extra = "d0=0.01" if name is OptimizerName.PRODIGY else ""
        config = OptimizerConfig(name=name, learning_rate=rate, weight_decay=decay, optimizer_args=extra)
        optimizer = build_optimizer(config, [x])
        for _ in range(steps):
            x.grad = gradient * torch.tensor([[1.0, 0.5], [-0.5, 1.0]])
            optimizer.step()
        return x.detach()

    start = torch.eye(2) * 2 + 1
    assert (after(2, 0.5, 0.0, 1.0) - start).norm() > 1.5 * (after(2, 0.1, 0.0, 1.0) - start).norm() > 0
    assert ((after(1, 0.5, 0.3, 1e-6) - after(1, 0.5, 0.0, 1e-6)) * start).sum() < -1e-4


@pytest.mark.parametrize(
    ("name", "argument", "known"),
    [
        (OptimizerName.LION, "betas=(0.8, 0.95)", "betas, weight_decouple"),
        (OptimizerName.PRODIGY, "d_coef=2.0", "d0, d_coef"),
        (OptimizerName.SCHEDULE_FREE_ADAMW, "r=1.0", "weight_lr_power"),
        (OptimizerName.CAME, "clip_threshold=0.1", "clip_threshold"),
        (OptimizerName.MUON, "ns_steps=1", "momentum, weight_decouple, nesterov"),
    ],
)
def test_the_librarys_arguments_act_and_unknown_ones_are_refused_by_name(
    name: OptimizerName, argument: str, known: str
):
    rate = 1.0 if name is OptimizerName.PRODIGY else 0.1
    ends = []
    for text in ("", argument):
        x = torch.nn.Parameter(torch.tensor([[3.0, -2.0], [1.0, 1.5]]))
        optimizer = build_optimizer(OptimizerConfig(name=name, learning_rate=rate, optimizer_args=text), [x])
        generator = torch.Generator().manual_seed(0)
        for _ in range(12):
            x.grad = torch.randn(2, 2, generator=generator)
            optimizer.step()
        ends.append(x.detach().clone())
    assert not torch.equal(*ends)
    for wrong in ("speed=3", "foreach=False", "lr=1", "kwargs=1"):
        with pytest.raises(SettingError, match=known):
            parse_optimizer_args(name, wrong)


def test_muon_makes_matrices_orthogonal_and_leaves_vectors_to_adamw():
    matrix = torch.nn.Parameter(torch.zeros(8, 4))
    kernel = torch.nn.Parameter(torch.zeros(4, 3, 3, 3))
    vector = torch.nn.Parameter(torch.zeros(8, 1))
    optimizer = build_optimizer(
        OptimizerConfig(name=OptimizerName.MUON, learning_rate=0.1, weight_decay=0.0), [matrix, vector, kernel]
    )
    generator = torch.Generator().manual_seed(0)
    for parameter in (matrix, vector, kernel):
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    sign = vector.grad.sign()
    optimizer.step()
    for moved in (matrix, kernel):
        singular = torch.linalg.svdvals(moved.detach().flatten(1))
        assert singular.min() > 0.5 * singular.max() > 0
        # As large a step as AdamW's, so that one learning rate suits both.
        assert 0.005 < moved.detach().square().mean().sqrt() < 0.1
    assert torch.allclose(vector.detach(), -0.1 * sign, atol=1e-3)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"name": OptimizerName.PRODIGY}, "give 1.0"),
        ({"name": OptimizerName.SCHEDULE_FREE_ADAMW, "lr_scheduler": Schedule.COSINE}, "found lr_scheduler cosine"),
        ({"name": OptimizerName.SCHEDULE_FREE_ADAMW, "lr_scheduler": Schedule.LINEAR}, "found lr_scheduler linear"),
        ({"name": OptimizerName.SCHEDULE_FREE_ADAMW, "ema_decay": 0.9}, "averages the weights itself"),
    ],
)
def test_settings_that_mean_nothing_to_an_optimizer_are_refused(config: dict[str, Any], says: str):
    with pytest.raises(SettingError, match=says):
        OptimizerConfig(**config)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        (OptimizerName.ADAMW_8BIT, "bitsandbytes", "pip install bitsandbytes"),
        (OptimizerName.LION, "pytorch_optimizer", "pip install pytorch-optimizer"),
    ],
)
def test_a_missing_library_is_named_with_the_way_to_get_it(
    name: OptimizerName, module: str, package: str, monkeypatch: pytest.MonkeyPatch
):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda wanted: None if wanted == module else found(wanted))
    with pytest.raises(SettingError, match=package):
        OptimizerConfig(name=name)


Run = Callable[..., TrainResult]


@pytest.fixture
def run(make_cache: Callable[..., LatentCache], tmp_path: Path) -> Run:
    cache = make_cache([("a", (4, 4), torch.ones(1, 1, 4, 4)), ("b", (4, 4), None), ("c", (4, 4), None)])

    def start(
        output: str,
        name: OptimizerName,
        algorithm: Algorithm = Algorithm.LORA,
        initial: LoraWeights | None = None,
        **config: object,
    ) -> TrainResult:
        rate = 1.0 if name is OptimizerName.PRODIGY else 1e-2
        optimizer = OptimizerConfig(name=name, learning_rate=rate, warmup_steps=1)
        lora = LoraConfig(rank=2, alpha=4.0, algorithm=algorithm)
        chosen = TrainConfig(**{"gradient_checkpointing": False, "validation_split": 0.34, **config})
        recipe = TrainingRecipe(cache, MaskLossSettings(), lora, optimizer, chosen, initial_lora=initial)
        return train(DemoDenoiser(), recipe, tmp_path / output)

    return start


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [(name, Algorithm.LORA) for name in HERE] + [(OptimizerName.MUON, Algorithm.DORA)],
)
def test_every_optimizer_resumes_exactly(run: Run, name: OptimizerName, algorithm: Algorithm):
    whole = run("whole", name, algorithm, steps=5)
    run("cut", name, algorithm, steps=3)
    resumed = run("cut", name, algorithm, steps=5)
    assert resumed.points == whole.points
    assert all(torch.equal(resumed.lora[key], whole.lora[key]) for key in whole.lora)
    assert any(bool(value.any()) for key, value in whole.lora.items() if key.endswith("lora_up.weight"))


def test_schedule_free_saves_and_evaluates_the_average_and_trains_on_untouched(run: Run, tmp_path: Path):
    name = OptimizerName.SCHEDULE_FREE_ADAMW
    seldom, often = run("seldom", name, steps=4), run("often", name, steps=4, save_every=1)
    assert seldom.points == often.points
    assert all(torch.equal(seldom.lora[key], often.lora[key]) for key in often.lora)
    state = load_state(tmp_path / "often.state")
    saved = [value for key, value in often.lora.items() if not key.endswith(".alpha")]
    for value in state.adapter:
        assert not any(value.shape == other.shape and torch.equal(value, other) for other in saved)
    # The same LoRA, started from and trained no further, has the loss that was noted for it.
    noted = dict(often.validation)[4]
    cold = run("cold", OptimizerName.SGD, steps=4, initial=often.lora)
    assert dict(cold.validation)[0] == pytest.approx(noted, rel=1e-5)
