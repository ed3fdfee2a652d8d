"""The loop as a user meets it: on a real model, through `train`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import NonFiniteLossError
from maskloss.core.mask_weights import MaskLossSettings, Normalization
from maskloss.core.train.config import (
    LoraConfig,
    LoraDtype,
    LossPoint,
    OptimizerConfig,
    Schedule,
    TimestepSampling,
    TrainConfig,
    TrainingDtype,
)
from maskloss.core.train.denoiser import Family
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.observer import SilentObserver
from maskloss.core.train.optimizers import OptimizerName

SIZE = (6, 6)
PLAIN = MaskLossSettings()
LORA = LoraConfig(rank=2, alpha=4.0)
OPTIMIZER = OptimizerConfig(learning_rate=1e-3)


class Stop(BaseException):
    """As ComfyUI's interrupt: no Exception."""


class Watcher(SilentObserver):
    def __init__(self, stop_after: int | None = None, stop_at_check: int | None = None) -> None:
        self.texts: list[str] = []
        self.points: list[LossPoint] = []
        self.checks = 0
        self._stop_after, self._stop_at_check = stop_after, stop_at_check

    def say(self, text: str) -> None:
        self.texts.append(text)

    def check(self) -> None:
        self.checks += 1
        if self.checks == self._stop_at_check:
            raise Stop

    def step(self, point: LossPoint, total_steps: int) -> None:
        self.points.append(point)
        if point.step == self._stop_after:
            raise Stop


def half(size: tuple[int, int] = SIZE) -> torch.Tensor:
    mask = torch.zeros(1, 1, size[1], size[0])
    mask[..., : size[0] // 2] = 1.0
    return mask


@pytest.fixture
def cache(make_cache):
    tiers = half()
    tiers[..., 0] = 0.5
    return make_cache([("a", SIZE, half()), ("b", SIZE, tiers), ("c", SIZE, None), ("d", SIZE, tiers)])


@pytest.fixture
def run(cache, tmp_path):
    """run(output name, steps=…, …): a training on `cache`; keyword arguments go to the configuration they belong to."""

    def start(
        name: str = "lora",
        settings: MaskLossSettings | None = PLAIN,
        lora: LoraConfig = LORA,
        optimizer: OptimizerConfig = OPTIMIZER,
        watcher: Watcher | None = None,
        on=cache,
        denoiser: DemoDenoiser | None = None,
        validation_cache=None,
        initial_lora=None,
        **config: object,
    ) -> TrainResult:
        chosen = TrainConfig(**{"steps": 4, "gradient_checkpointing": False, **config})
        return train(
            denoiser or DemoDenoiser(),
            on,
            settings,
            lora,
            optimizer,
            chosen,
            tmp_path / name,
            watcher,
            validation_cache,
            initial_lora,
        )

    return start


def assert_same(first: TrainResult, second: TrainResult) -> None:
    assert first.points == second.points
    assert first.lora.keys() == second.lora.keys()
    for key in first.lora:
        assert torch.equal(first.lora[key], second.lora[key]), key


def distance(first: TrainResult, second: TrainResult) -> float:
    return max(float((first.lora[key].float() - second.lora[key].float()).abs().max()) for key in first.lora)


def test_the_loss_goes_down_inside_the_mask(run):
    result = run(steps=80, batch_size=4, validation_cache=None, optimizer=OptimizerConfig(learning_rate=5e-3))
    inside = [point.inside for point in result.points]
    assert sum(inside[-10:]) < 0.9 * sum(inside[:10])


def test_a_seeded_rerun_is_bit_equal_and_touches_no_global_state(run):
    state = torch.get_rng_state()
    lora = dataclasses.replace(LORA, dropout=0.3)
    assert_same(run("one", lora=lora, caption_dropout=0.5), run("two", lora=lora, caption_dropout=0.5))
    assert torch.equal(state, torch.get_rng_state())
    assert distance(run("one", lora=lora, caption_dropout=0.5), run("three", lora=lora, seed=1)) > 0


@pytest.mark.parametrize("normalization", list(Normalization))
def test_a_batch_of_four_equals_four_batches_of_one(run, normalization):
    settings = MaskLossSettings(normalization=normalization, prior_weight=0.5, area_beta=0.5)
    lora = dataclasses.replace(LORA, dropout=0.2)
    # Plain gradient descent: its step is the gradient, where Adam's would blow up rounding of tiny gradients.
    sgd = OptimizerConfig(name=OptimizerName.SGD, learning_rate=1.0)
    one = run("one", settings, lora, sgd, batch_size=4)
    four = run("four", settings, lora, sgd, batch_size=1, gradient_accumulation_steps=4)
    assert distance(one, four) < 1e-5
    assert distance(one, run("other", settings, lora, sgd, batch_size=4, seed=1)) > 1e-3
    for mine, its in zip(one.points, four.points, strict=True):
        assert mine.loss == pytest.approx(its.loss, rel=1e-5)
        assert mine.inside == pytest.approx(its.inside, rel=1e-5)
        assert mine.outside == pytest.approx(its.outside, rel=1e-5)


@pytest.mark.parametrize("normalization", list(Normalization))
def test_masks_of_ones_equal_no_mask_bit_for_bit(run, make_cache, normalization):
    ones = torch.ones(1, 1, SIZE[1], SIZE[0])
    masked = make_cache([("a", SIZE, ones), ("b", SIZE, ones)])
    bare = make_cache([("a", SIZE, None), ("b", SIZE, None)])
    settings = MaskLossSettings(normalization=normalization)
    with_masks = run("masked", settings, on=masked)
    if normalization is Normalization.PER_SAMPLE:
        assert_same(with_masks, run("bare", None, on=bare))
    else:
        plain = run("bare", None, on=bare)
        assert distance(with_masks, plain) < 1e-6
    assert with_masks.points[0].outside is None


def test_unmasked_loss_is_the_plain_mean_square(run, cache):
    watched: list[torch.Tensor] = []

    class Recording(DemoDenoiser):
        def predict(self, *arguments: object) -> torch.Tensor:
            difference = super().predict(*arguments)
            watched.append(difference.detach())
            return difference

    result = run(settings=None, denoiser=Recording(), steps=1, batch_size=4)
    assert result.points[0].loss == pytest.approx(float(watched[0].square().mean()), rel=1e-6)


def test_gradient_of_the_prediction_is_exactly_zero_where_the_weight_is(run, make_cache):
    gradients: list[torch.Tensor] = []

    class Recording(DemoDenoiser):
        def predict(self, *arguments: object) -> torch.Tensor:
            difference = super().predict(*arguments)
            difference.register_hook(gradients.append)
            return difference

    run(on=make_cache([("a", SIZE, half())]), denoiser=Recording(), steps=2)
    outside = half()[None].expand_as(gradients[0]) == 0
    assert len(gradients) == 2
    for gradient in gradients:
        assert torch.equal(gradient[outside], torch.zeros_like(gradient[outside]))
        assert (gradient[~outside] != 0).float().mean() > 0.99


def test_inside_and_outside_are_the_masks_weighted_means(run, make_cache):
    differences: list[torch.Tensor] = []

    class Recording(DemoDenoiser):
        def predict(self, *arguments: object) -> torch.Tensor:
            difference = super().predict(*arguments)
            differences.append(difference.detach())
            return difference

    point = run(on=make_cache([("a", SIZE, half())]), denoiser=Recording(), steps=1).points[0]
    error = differences[0].square()
    assert point.inside == pytest.approx(float(error[..., : SIZE[0] // 2].mean()), rel=1e-5)
    assert point.outside == pytest.approx(float(error[..., SIZE[0] // 2 :].mean()), rel=1e-5)
    assert point.coverage == 0.5
    assert point.loss == pytest.approx(point.inside, rel=1e-5)


def test_prior_asks_the_base_with_the_same_noise_and_time(run):
    calls: list[tuple[tuple[torch.Tensor, ...], torch.Tensor, bool]] = []

    class Recording(DemoDenoiser):
        def predict(self, clean, noise, t, text, checkpoint):
            difference = super().predict(clean, noise, t, text, checkpoint)
            calls.append(((clean, noise, t), difference.detach(), difference.requires_grad))
            return difference

    run(settings=MaskLossSettings(prior_weight=1.0), denoiser=Recording(), steps=3)
    assert len(calls) == 6
    for student, base in zip(calls[::2], calls[1::2], strict=True):
        assert all(torch.equal(mine, its) for mine, its in zip(student[0], base[0], strict=True))
        assert (student[2], base[2]) == (True, False)
    bare = DemoDenoiser()
    clean, noise, t = calls[5][0]
    # The base's answer after two updates is the bare model's; the student's no longer is.
    assert torch.equal(calls[0][1], calls[1][1])
    assert not torch.equal(calls[4][1], calls[5][1])
    text = [{"tokens": torch.zeros(1, 64)}]
    with torch.no_grad():
        untouched = bare.predict(clean, noise, t, text, False)
    assert torch.allclose(calls[5][1], untouched, atol=1e-6)


def test_prior_holds_the_outside_to_the_base(run, make_cache):
    cache = make_cache([("a", SIZE, half())])
    fast = OptimizerConfig(learning_rate=5e-3)

    def drift(result: TrainResult) -> float:
        denoiser = DemoDenoiser()
        generator = torch.Generator().manual_seed(9)
        clean = denoiser.normalise(cache.latent(cache.entries[0])[None])
        noise = torch.randn(clean.shape, generator=generator)
        arguments = (clean, noise, torch.tensor([0.7]), [cache.text(cache.entries[0])], False)
        from maskloss.core.train.adapters import LoraAdapters

        adapters = LoraAdapters(
            denoiser.module, LORA, denoiser.default_targets, generator, denoiser.device, torch.float32
        )
        adapters.load(result.lora)
        with torch.no_grad(), adapters.attached():
            student = denoiser.predict(*arguments)
            with adapters.disabled():
                base = denoiser.predict(*arguments)
        return float((student - base)[..., SIZE[0] // 2 :].square().mean())

    free = drift(run("free", optimizer=fast, on=cache, steps=25))
    held = drift(run("held", MaskLossSettings(prior_weight=10.0), optimizer=fast, on=cache, steps=25))
    assert held < 0.5 * free


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


def test_empty_masks_are_named_once_and_hurt_nobody(run, make_cache):
    empty = torch.zeros(1, 1, SIZE[1], SIZE[0])
    watcher = Watcher()
    result = run(on=make_cache([("a", SIZE, half()), ("void", SIZE, empty)]), steps=6, watcher=watcher)
    assert sum("void" in text for text in watcher.texts) == 1
    assert {point.near_zero for point in result.points} == {(), ("void",)}
    assert all(point.loss == 0 for point in result.points if point.near_zero)
    assert all(value == value for values in result.loss_map.values() for value in values)


@pytest.mark.parametrize("normalization", list(Normalization))
def test_black_and_white_masks_with_prior_preservation(run, make_cache, normalization):
    # Black: nothing but the prior, which is 0 until the adapter moves, and nothing moves it. White: no outside at all.
    black, white = torch.zeros(1, 1, SIZE[1], SIZE[0]), torch.ones(1, 1, SIZE[1], SIZE[0])
    plain = MaskLossSettings(normalization=normalization)
    prior = dataclasses.replace(plain, prior_weight=2.0)
    dark = run("dark", prior, on=make_cache([("a", SIZE, black)]), steps=3)
    assert [point.loss for point in dark.points] == [0.0] * 3
    assert all(bool(torch.isfinite(tensor).all()) for tensor in dark.lora.values())
    cache = make_cache([("a", SIZE, white)])
    one, two = run("one", plain, on=cache, steps=3), run("two", prior, on=cache, steps=3)
    assert [point.loss for point in one.points] == [point.loss for point in two.points]
    assert distance(one, two) == 0


def test_several_shapes_and_a_second_frame_axis_train_together(run, make_cache):
    cache = make_cache([("a", (6, 6), half()), ("b", (8, 5), None), ("c", (6, 6), half())])
    assert run(on=cache, steps=4, batch_size=2).steps == 4


def test_module_is_as_it_was(run):
    denoiser = DemoDenoiser()
    before = {name: parameter.clone() for name, parameter in denoiser.module.named_parameters()}
    run(denoiser=denoiser, steps=2)
    with pytest.raises(Stop):
        run("cut", denoiser=denoiser, watcher=Watcher(1))
    assert all(not module._forward_hooks for module in denoiser.module.modules())
    for name, parameter in denoiser.module.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


def test_it_trains_inside_inference_mode(run):
    with torch.inference_mode():
        assert run(steps=2).steps == 2


# Every field of the configurations has an effect.


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


def test_checkpointing_changes_nothing_but_memory(run):
    lora = dataclasses.replace(LORA, dropout=0.3)
    asked: list[bool] = []

    class Recording(DemoDenoiser):
        def predict(self, clean, noise, t, text, checkpoint):
            asked.append(checkpoint)
            return super().predict(clean, noise, t, text, checkpoint)

    plain = run("plain", lora=lora, denoiser=Recording())
    checkpointed = run("checkpointed", lora=lora, denoiser=Recording(), gradient_checkpointing=True)
    assert asked == [False] * 4 + [True] * 4
    assert_same(plain, checkpointed)


def test_forward_and_backward_run_inside_the_models_recording(run):
    events: list[str] = []

    class Recording(DemoDenoiser):
        @contextmanager
        def recording(self, checkpoint: bool) -> Iterator[None]:
            events.append(f"in {checkpoint}")
            yield
            events.append("out")

        def predict(self, *arguments: object) -> torch.Tensor:
            difference = super().predict(*arguments)
            difference.register_hook(lambda _: events.append("backward"))
            events.append("forward")
            return difference

    run(denoiser=Recording(), steps=1, gradient_accumulation_steps=2, gradient_checkpointing=True)
    assert events == ["in True", "forward", "backward", "out"] * 2


def test_learning_rate_in_the_log_follows_the_schedule(run):
    result = run(optimizer=OptimizerConfig(learning_rate=1e-3, lr_scheduler=Schedule.LINEAR), steps=4)
    assert [point.learning_rate for point in result.points] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])


def test_save_every_leaves_numbered_loras_of_their_step(run, tmp_path):
    run(steps=5, save_every=2)
    numbered = sorted(path.name for path in tmp_path.glob("lora-step*"))
    assert numbered == ["lora-step00000002.safetensors", "lora-step00000004.safetensors"]
    two = run("two", steps=2)
    for key, tensor in load_lora(tmp_path / numbered[0]).items():
        assert torch.equal(tensor, two.lora[key])


def test_starting_from_a_lora_starts_there(run):
    first = run("first", steps=3)
    sgd = OptimizerConfig(name=OptimizerName.SGD, learning_rate=1e-12, weight_decay=0.0)
    again = run("again", steps=1, optimizer=sgd, initial_lora=first.lora)
    assert distance(first, again) < 1e-8


def test_min_snr_scales_the_loss_of_a_noise_model(run):
    class NoiseModel(DemoDenoiser):
        family = Family.EPS

    plain = run("plain", denoiser=NoiseModel(), steps=2, timestep_max=0.3)
    scaled = run("scaled", denoiser=NoiseModel(), steps=2, timestep_max=0.3, min_snr_gamma=1.0)
    assert scaled.points[0].loss < plain.points[0].loss
    assert scaled.points[0].inside == plain.points[0].inside


def test_validation_is_measured_at_start_saves_epochs_and_end_and_disturbs_nothing(run, make_cache, tmp_path):
    held_out = make_cache([("x", SIZE, half()), ("y", (8, 4), None)])
    lora = dataclasses.replace(LORA, dropout=0.3)
    plain = run("plain", lora=lora, steps=9, save_every=3)
    watched = run("watched", lora=lora, steps=9, save_every=3, validation_cache=held_out)
    assert [step for step, _ in watched.validation] == [0, 3, 4, 6, 8, 9]
    assert plain.points == watched.points
    assert distance(plain, watched) == 0
    lines = [json.loads(line) for line in (tmp_path / "watched.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "validation" in line] == [0, 3, 4, 6, 8, 9]
    with pytest.raises(Stop):
        run("cut", lora=lora, steps=9, save_every=3, validation_cache=held_out, watcher=Watcher(5))
    assert run("cut", lora=lora, steps=9, save_every=3, validation_cache=held_out).validation == watched.validation


def test_validation_sees_learning_and_the_mask(run, cache):
    fast = OptimizerConfig(learning_rate=5e-3)
    result = run(steps=40, batch_size=2, optimizer=fast, validation_cache=cache)
    values = [value for _, value in result.validation]
    assert values[-1] < 0.95 * values[0]
    unmasked = run("unmasked", None, steps=1, validation_cache=cache)
    assert unmasked.validation[0][1] != pytest.approx(values[0], rel=1e-3)
