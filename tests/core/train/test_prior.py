"""Who teaches in prior preservation, and when it counts."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import SettingError
from maskloss.core.mask_weights import MaskLossSettings, PriorSchedule, PriorTeacher
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import OptimizerConfig
from maskloss.core.train.optimizers import OptimizerName
from maskloss.core.train.order import stream_seed
from maskloss.core.train.prior import Teacher, prior_weight_at
from maskloss.core.train.state import load_state

from .runs import LORA, SIZE, Recording, Stop, Watcher, assert_same, distance, half

EMA = MaskLossSettings(prior_weight=2.0, prior_teacher=PriorTeacher.EMA, prior_ema_decay=0.75)
FAST = OptimizerConfig(learning_rate=1e-2)


def adapters_at_the_start(denoiser: DemoDenoiser | None = None) -> LoraAdapters:
    """As a run with seed 0 makes them."""
    model = denoiser or DemoDenoiser()
    generator = torch.Generator().manual_seed(stream_seed("lora", 0))
    return LoraAdapters(model.module, LORA, model.default_targets, generator, model.device, torch.float32)


def answer(values, call) -> torch.Tensor:
    """What the model with these adapter values says to a recorded question."""
    denoiser = DemoDenoiser()
    adapters = adapters_at_the_start(denoiser)
    with torch.no_grad(), adapters.attach(), adapters.swapped_in(values):
        return denoiser.predict(*call[0])


def adapter_after(run, tmp_path, steps: int, settings: MaskLossSettings) -> list[torch.Tensor]:
    run(f"after-{steps}", settings, steps=steps, optimizer=FAST)
    return load_state(tmp_path / f"after-{steps}.state").adapter


def test_the_ema_teacher_answers_with_the_average_of_the_adapters_so_far(run, make_cache, tmp_path):
    run = functools.partial(run, on=make_cache([("a", SIZE, half()), ("b", SIZE, half())]))
    denoiser = Recording()
    run("whole", EMA, steps=4, optimizer=FAST, denoiser=denoiser)
    # The teacher's forward pass comes first: it swaps the average in for the parameters that the backward pass needs.
    teacher_calls, learning = denoiser.calls[::2], denoiser.calls[1::2]
    assert all(torch.equal(mine[0][1], its[0][1]) for mine, its in zip(learning, teacher_calls, strict=True))
    first, second, third = (adapter_after(run, tmp_path, steps, EMA) for steps in (1, 2, 3))
    average = [value.detach() for value in adapters_at_the_start().parameters]
    for values in (first, second, third):
        average = [0.75 * mine + 0.25 * its for mine, its in zip(average, values, strict=True)]
    assert torch.allclose(teacher_calls[3][1], answer(average, teacher_calls[3]), atol=1e-5)
    assert not torch.allclose(teacher_calls[3][1], answer(third, teacher_calls[3]), atol=1e-5), "the student"
    assert torch.equal(teacher_calls[0][1], learning[0][1]), "both start as the base model"


def test_the_loss_is_the_weighted_error_plus_the_drift_from_the_teacher(run, make_cache):
    cache = make_cache([("a", SIZE, half())])
    denoiser = Recording()
    result = run(settings=EMA, steps=2, optimizer=FAST, denoiser=denoiser, on=cache)
    point = result.points[1]
    teacher, student = denoiser.calls[2][1], denoiser.calls[3][1]
    left, right = student[..., : SIZE[0] // 2], (student - teacher)[..., SIZE[0] // 2 :]
    expected = left.square().mean() + 2.0 * right.square().mean()
    assert point.loss == pytest.approx(float(expected), rel=1e-5)
    assert right.square().mean() > 0
    assert point.prior == pytest.approx(float(right.square().mean()), rel=1e-5)
    assert result.loss_map["prior"] == [0.0, point.prior]


@pytest.mark.parametrize("settings", [EMA, dataclasses.replace(EMA, prior_schedule=PriorSchedule.RISE)])
def test_a_run_with_an_ema_teacher_that_is_cut_goes_on_to_the_same_end(run, tmp_path, settings):
    lora = dataclasses.replace(LORA, dropout=0.2)
    shared = {"settings": settings, "lora": lora, "optimizer": FAST, "steps": 6}
    whole = run("whole", **shared)
    with pytest.raises(Stop):
        run("cut", watcher=Watcher(3), **shared)
    saved = load_state(tmp_path / "cut.state")
    assert not torch.equal(saved.teacher[1], saved.adapter[1])
    assert_same(run("cut", **shared), whole)
    assert torch.equal(load_state(tmp_path / "cut.state").teacher[1], load_state(tmp_path / "whole.state").teacher[1])


def test_the_teacher_has_no_dropout_and_leaves_the_student_as_it_was(run):
    denoiser = DemoDenoiser()
    adapters = adapters_at_the_start(denoiser)
    for value in adapters.parameters:
        torch.nn.init.normal_(value, std=0.1, generator=torch.Generator().manual_seed(1))
    teacher = Teacher(EMA, adapters)
    before = [value.detach().clone() for value in adapters.parameters]
    question = (
        torch.ones(1, 16, 1, 6, 6),
        torch.zeros(1, 16, 1, 6, 6),
        torch.tensor([0.5]),
        [{"tokens": torch.ones(1, 64)}],
    )
    with adapters.attach():
        adapters.set_dropout_seeds((7,))
        with teacher.forward_context():
            first = denoiser.predict(*question, False)
        assert not first.requires_grad
        student = denoiser.predict(*question, False)
    assert torch.allclose(first, student.detach(), atol=1e-6), "the average is still what the student is"
    assert student.requires_grad
    assert all(torch.equal(mine, value) for mine, value in zip(before, adapters.parameters, strict=True))


def test_teachers_and_their_decays_differ(run):
    sgd = OptimizerConfig(name=OptimizerName.SGD, learning_rate=0.3)
    base = MaskLossSettings(prior_weight=2.0)
    results = {
        name: run(name, settings, optimizer=sgd, steps=4)
        for name, settings in {
            "base": base,
            "ema": EMA,
            "slow": dataclasses.replace(EMA, prior_ema_decay=0.99),
            "none": MaskLossSettings(),
        }.items()
    }
    names = list(results)
    for index, name in enumerate(names):
        assert all(distance(results[name], results[other]) > 1e-6 for other in names[index + 1 :])
    frozen = dataclasses.replace(EMA, prior_ema_decay=0.9999999)
    # A teacher that hardly follows is the base model.
    assert distance(run("frozen", frozen, optimizer=sgd, steps=4), results["base"]) < 1e-4


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (PriorSchedule.CONSTANT, [1.0, 1.0, 1.0, 1.0]),
        (PriorSchedule.RISE, [0.25, 0.5, 0.75, 1.0]),
        (PriorSchedule.FALL, [1.0, 0.75, 0.5, 0.25]),
    ],
)
def test_schedules_of_the_weight(schedule, factors):
    settings = MaskLossSettings(prior_weight=3.0, prior_schedule=schedule)
    assert [prior_weight_at(settings, step, 4) for step in range(4)] == [3.0 * factor for factor in factors]


@pytest.mark.parametrize("schedule", [PriorSchedule.RISE, PriorSchedule.FALL])
def test_a_schedule_changes_what_is_learnt(run, schedule):
    settings = MaskLossSettings(prior_weight=2.0)
    scheduled = dataclasses.replace(settings, prior_schedule=schedule)
    assert distance(run("plain", settings), run("scheduled", scheduled)) > 1e-7


def test_without_prior_preservation_nobody_is_asked(run):
    denoiser = Recording()
    result = run(settings=dataclasses.replace(EMA, prior_weight=0.0), denoiser=denoiser, steps=3)
    assert len(denoiser.calls) == 3
    assert [point.prior for point in result.points] == [None] * 3
    assert "prior" not in result.loss_map


def test_settings_are_checked_and_idle_ones_named():
    with pytest.raises(SettingError, match="prior_ema_decay must be in range"):
        MaskLossSettings(prior_ema_decay=1.0)
    with pytest.raises(SettingError, match="prior_teacher must be one of base, ema"):
        MaskLossSettings(prior_teacher="student")
    with pytest.raises(SettingError, match="prior_schedule must be one of"):
        MaskLossSettings(prior_schedule="later")
    idle = MaskLossSettings(prior_teacher="ema", prior_schedule="rise").settings_without_effect()
    assert idle == (
        "prior_teacher=ema has no effect while prior_weight is 0",
        "prior_schedule=rise has no effect while prior_weight is 0",
    )
    assert MaskLossSettings(prior_weight=1.0, prior_ema_decay=0.5).settings_without_effect() == (
        "prior_ema_decay=0.5 has no effect while prior_teacher is base",
    )
    assert EMA.settings_without_effect() == ()
