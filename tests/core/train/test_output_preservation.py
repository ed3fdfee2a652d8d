"""Differential output preservation: its value and gradient against plain torch, how windows are cut, and resuming."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from maskloss.core.cache.entries import CacheEntry
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.demo.encoders import DemoTextEncoder
from maskloss.core.errors import CacheError, TrainingError
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.optimizers import OptimizerName
from maskloss.core.train.order import Occurrence
from maskloss.core.train.output_preservation import preservation_loss, preservation_notes
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.train.state import TrainState
from maskloss.core.train.step import TrainedModel
from maskloss.core.train.window import plan_window
from maskloss.core.warning import collect_warnings

from .runs import LORA, SIZE, Recording, Stop, Watcher, assert_same, distance, half

FAST = OptimizerConfig(learning_rate=1e-2)
SGD = OptimizerConfig(name=OptimizerName.SGD, learning_rate=1.0)
DOP = MaskLossSettings(dop_weight=2.0, trigger="ohwx", class_noun="woman")
CLASS = {"a": "woman at a", "b": "woman at b"}
REGIONS = {"everywhere": torch.ones_like(half()), "inside": half(), "outside": 1 - half()}


@pytest.fixture
def some(make_cache):
    """Two items with the trigger in their captions, and one without."""
    cache = make_cache([(name, SIZE, half()) for name in "abc"], caption="ohwx woman at {name}")
    bare = dataclasses.replace(cache.entries[2], caption="the sea")
    return dataclasses.replace(cache, entries=(*cache.entries[:2], bare))


def question(call, row: int) -> tuple[torch.Tensor, ...]:
    (clean, noise, t, text, _), _ = call
    return clean[row], noise[row], t[row], text[row]["tokens"]


@pytest.mark.parametrize("region", list(REGIONS))
def test_the_class_is_held_to_the_base_model_with_the_same_noise_and_time(run, some, region):
    denoiser, settings = Recording(), dataclasses.replace(DOP, dop_region=region, prior_teacher="ema")
    result = run(settings=settings, steps=4, optimizer=FAST, denoiser=denoiser, on=some, batch_size=3)
    calls = iter(denoiser.calls)
    for point in result.points:
        own, base, student = next(calls), next(calls), next(calls)
        assert len(base[0][2]) == len(student[0][2]) == 2, "the caption without a trigger is left alone"
        rows = [row for row in range(3) if any(torch.equal(own[0][2][row], t) for t in base[0][2])]
        texts = [DemoTextEncoder().encode(caption)["tokens"] for caption in CLASS.values()]
        for place, row in enumerate(rows):
            mine, its, answer = question(own, row), question(base, place), question(student, place)
            assert all(torch.equal(first, second) for first, second in zip(mine[:3], its[:3], strict=True))
            assert all(torch.equal(first, second) for first, second in zip(its, answer, strict=True))
            assert not torch.equal(mine[3], its[3])
            assert any(torch.equal(its[3], text) for text in texts)
        # The base model is a fresh one: no adapter, whoever the teacher of prior preservation is.
        fresh = DemoDenoiser().predict(*base[0][:3], base[0][3], False)
        assert torch.equal(base[1], fresh.detach())
        weights = REGIONS[region].expand_as(student[1])
        drift = ((student[1] - fresh).square() * weights).sum(dim=(1, 2, 3, 4)) / weights.sum(dim=(1, 2, 3, 4))
        held = float(drift.sum() / 3)
        assert point.dop == pytest.approx(held, rel=1e-4, abs=1e-9)
        inside = float(own[1][..., : SIZE[0] // 2].square().mean())
        assert point.loss == pytest.approx(inside + 2.0 * held, rel=1e-4)
    assert result.points[0].dop == 0, "the adapter begins as nothing"
    assert result.points[-1].dop > 0
    assert next(calls, None) is None


@pytest.mark.parametrize("checkpoint", [False, True])
def test_its_gradient_is_that_of_plain_torch(run, some, tmp_path, checkpoint):
    start = run(settings=MaskLossSettings(), steps=3, optimizer=FAST, on=some).lora
    denoiser = DemoDenoiser()
    config = TrainConfig(steps=1, gradient_checkpointing=checkpoint, training_dtype=TrainingDtype.FP32)
    settings = dataclasses.replace(DOP, dop_region="inside")
    state = TrainState(denoiser, TrainingRecipe(some, settings, LORA, FAST, config, None, start))
    order = [[Occurrence(0, entry, 0) for entry in range(3)]]
    window = plan_window(order, some, some.entries, settings, config, denoiser)
    (micro,) = window.micro_batches
    model = TrainedModel(denoiser, state.adapters, state.teacher, TrainingDtype.FP32, checkpoint)
    assert micro.of_class is not None
    with state.adapters.attach():
        with denoiser.autograd_context(checkpoint):
            loss = preservation_loss(micro, micro.of_class, window, model, settings)
            ours = torch.autograd.grad(loss, state.adapters.parameters)
        clean, text = denoiser.normalise(micro.raw_BCThw)[:2], [DemoTextEncoder().encode(c) for c in CLASS.values()]
        with state.adapters.disable(), torch.no_grad():
            base = denoiser.predict(clean, micro.noise_BCThw[:2], micro.t_B[:2], text, False)
        student = denoiser.predict(clean, micro.noise_BCThw[:2], micro.t_B[:2], text, False)
        plain = (student - base)[..., : SIZE[0] // 2].square().mean() * 2 / 3
        theirs = torch.autograd.grad(plain, state.adapters.parameters)
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    assert max(float(each.abs().max()) for each in theirs) > 1e-6
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, its, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("more", [{}, {"background_tokens": 0.3}, {"gradient_checkpointing": True}], ids=str)
def test_a_batch_of_three_equals_three_batches_of_one(run, some, more):
    settings = dataclasses.replace(DOP, prior_weight=0.5)
    lora = dataclasses.replace(LORA, dropout=0.2)
    one = run("one", settings, lora, SGD, on=some, batch_size=3, **more)
    three = run("three", settings, lora, SGD, on=some, batch_size=1, gradient_accumulation_steps=3, **more)
    assert distance(one, three) < 1e-5
    for mine, its in zip(one.points, three.points, strict=True):
        assert mine.loss == pytest.approx(its.loss, rel=1e-5)
        assert mine.dop == pytest.approx(its.dop, rel=1e-4, abs=1e-9)
    assert (
        distance(one, run("off", dataclasses.replace(settings, dop_weight=0), lora, SGD, on=some, batch_size=3)) > 1e-4
    )


def test_a_run_that_is_cut_goes_on_to_the_same_end(run, some):
    settings = dataclasses.replace(DOP, prior_weight=0.5, prior_teacher="ema", prior_ema_decay=0.5)
    whole = run("whole", settings, optimizer=FAST, steps=6, on=some)
    with pytest.raises(Stop):
        run("cut", settings, watcher=Watcher(3), optimizer=FAST, steps=6, on=some)
    assert_same(run("cut", settings, optimizer=FAST, steps=6, on=some), whole)


def test_dropped_captions_change_nothing_of_it(run, some):
    denoiser = Recording()
    run(settings=DOP, steps=2, denoiser=denoiser, on=some, batch_size=3, caption_dropout=1.0)
    own, base, student = denoiser.calls[:3]
    empty = DemoTextEncoder().encode("")["tokens"]
    assert all(torch.equal(each["tokens"], empty) for each in own[0][3])
    assert not any(torch.equal(each["tokens"], empty) for each in (*base[0][3], *student[0][3]))


def test_routed_tokens_are_those_of_the_loss(run, some):
    denoiser = Recording()
    result = run(settings=DOP, steps=2, optimizer=FAST, denoiser=denoiser, on=some, batch_size=3, background_tokens=0.3)
    assert result.points[0].dop == 0, "the base model is shown the same tokens"
    assert result.points[1].dop > 0


def test_where_the_mask_does_not_act_everything_is_inside(make_cache):
    cache = make_cache([(name, SIZE, half()) for name in "abcdefgh"], caption="ohwx woman at {name}")
    settings = dataclasses.replace(DOP, dop_region="outside", probability=0.5)
    order = [[Occurrence(0, entry, 0) for entry in range(8)]]
    (micro,) = plan_window(order, cache, cache.entries, settings, TrainConfig(), DemoDenoiser()).micro_batches
    masked = [row for row in range(8) if not bool((micro.weights_B1Thw[row] == 1).all())]
    assert 0 < len(masked) < 8
    assert micro.of_class is not None
    assert list(micro.of_class.rows) == masked
    assert torch.equal(micro.of_class.region_K1Thw, (1 - half()).expand(len(masked), 1, 1, -1, -1))


def test_the_class_drifts_less(run, some):
    still = OptimizerConfig(learning_rate=1e-9)

    def drift(settings: MaskLossSettings, name: str) -> float:
        """After 30 steps: how far what the model makes of the class captions is from the base model."""
        lora = run(name, settings, optimizer=FAST, on=some, steps=30, batch_size=3).lora
        measured = run(f"{name}_measured", DOP, optimizer=still, on=some, steps=4, batch_size=3, initial_lora=lora)
        return sum(point.dop for point in measured.points)

    assert drift(DOP, "held") < 0.5 * drift(MaskLossSettings(), "free")


def test_what_it_says_before_a_run_and_refuses(run, some, make_cache):
    watcher = Watcher()
    with collect_warnings() as given:
        run(settings=DOP, steps=1, on=some, watcher=watcher)
    assert any("everywhere: 2 of 3 items are also shown" in text and "2.3 times" in text for text in watcher.texts)
    assert any("1 captions lack the trigger ohwx, so dop_weight does not act there: c" in text for text in given.texts)
    with pytest.raises(TrainingError, match="none of 1 captions has the trigger ohwx"):
        run("none", DOP, on=make_cache([("a", SIZE, half())]))
    circular = dataclasses.replace(DOP, trigger="woman", class_noun="young woman")
    with pytest.raises(TrainingError, match="The class noun 'young woman' has a trigger in it"):
        run("circular", circular, on=some)


def test_the_cache_has_to_have_the_class_captions(some):
    @dataclasses.dataclass(frozen=True, eq=False)
    class Without(type(some)):
        def has_text(self, caption: str, entry: CacheEntry | None = None) -> bool:
            return not caption.startswith("woman")

    bare = Without(**{field.name: getattr(some, field.name) for field in dataclasses.fields(some)})
    with pytest.raises(CacheError, match="no text for 2 captions in which the class noun stands for the trigger, such"):
        preservation_notes(bare, bare.entries, DOP)
