"""Trainings in which tokens of the background skip the middle blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import SettingError, TrainingError
from maskloss.core.loss import elementwise_error, weighted_sums
from maskloss.core.mask_weights import MaskLossSettings, Normalization
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loss_log import loss_map
from maskloss.core.train.metrics import History
from maskloss.core.train.order import Occurrence
from maskloss.core.train.prior import Teacher
from maskloss.core.train.routed_window import routing_settings
from maskloss.core.train.step import TrainedModel, micro_batch_loss
from maskloss.core.train.token_routing import KeptTokens, choose_tokens
from maskloss.core.train.window import MicroBatch, Window, plan_window

from .runs import PLAIN, Stop, Watcher, assert_same, distance

WIDE = (12, 12)
FLOOR = MaskLossSettings(min_weight=0.2)


def corner(side: int = 2, size: tuple[int, int] = WIDE) -> torch.Tensor:
    """(1,1,h,w): a person of `side` × `side` cells in the upper left corner."""
    mask = torch.zeros(1, 1, size[1], size[0])
    mask[..., :side, :side] = 1.0
    return mask


@pytest.fixture
def small_people(make_cache):
    return make_cache([(name, WIDE, corner(2 + index)) for index, name in enumerate("abcd")])


def windows(cache, batches: Sequence[Sequence[int]], settings: MaskLossSettings = FLOOR, **config: object) -> Window:
    chosen = TrainConfig(**{"background_tokens": 0.2, **config})
    occurrences = [[Occurrence(0, entry, 0) for entry in batch] for batch in batches]
    return plan_window(occurrences, cache, cache.entries, settings, chosen, DemoDenoiser())


def test_how_a_window_is_cut_does_not_matter(small_people) -> None:
    together, apart = windows(small_people, [[0, 1, 2]]), windows(small_people, [[0], [1], [2]])
    kept = together.micro_batches[0].kept
    assert kept is not None
    assert kept.skips
    for row, micro in enumerate(apart.micro_batches):
        assert micro.kept is not None
        assert torch.equal(micro.kept.indices_BK[0], kept.indices_BK[row])
        assert torch.equal(micro.kept.factor_B1Thw[0], kept.factor_B1Thw[row])
    assert together.tokens == apart.tokens == kept.count / kept.tokens
    assert together.normaliser == apart.normaliser


def test_batches_accumulated_or_together_train_the_same(run, small_people) -> None:
    common = {"on": small_people, "settings": FLOOR, "background_tokens": 0.3, "steps": 3}
    together = run("together", batch_size=4, **common)
    apart = run("apart", gradient_accumulation_steps=4, **common)
    assert distance(together, apart) < 1e-6
    assert [point.tokens for point in together.points] == [point.tokens for point in apart.points]


def test_a_resumed_run_equals_an_uninterrupted_one(run, small_people) -> None:
    common = {"on": small_people, "background_tokens": 0.2, "steps": 5, "settings": FLOOR}
    whole = run("whole", **common)
    with pytest.raises(Stop):
        run("cut", watcher=Watcher(stop_after=2), **common)
    assert_same(whole, run("cut", **common))
    assert all(0 < point.tokens < 1 for point in whole.points)


def test_all_tokens_is_bit_equal_to_a_run_before_there_was_routing(run, small_people, tmp_path) -> None:
    assert_same(run("plain", on=small_people), run("off", on=small_people, background_tokens=1.0))
    assert "tokens" not in (tmp_path / "off.jsonl").read_text(encoding="utf-8")
    routed = run("routed", on=small_people, background_tokens=0.2)
    assert distance(routed, run("plain", on=small_people)) > 1e-6


def test_tokens_are_drawn_anew_in_every_step_and_by_the_seed(small_people) -> None:
    def indices(epoch: int, seed: int) -> list[int]:
        occurrences = [[Occurrence(epoch, 0, 0)]]
        config = TrainConfig(background_tokens=0.2, seed=seed)
        window = plan_window(occurrences, small_people, small_people.entries, FLOOR, config, DemoDenoiser())
        kept = window.micro_batches[0].kept
        assert kept is not None
        return kept.indices_BK[0].tolist()

    drawn = [indices(0, 0), indices(1, 0), indices(0, 1)]
    assert drawn[0] == indices(0, 0)
    assert len({tuple(each) for each in drawn}) == 3


class Constant(DemoDenoiser):
    """Errs by the same amount whatever tokens run, so that only the draw is random."""

    def predict(self, clean, noise, t, text, checkpoint):
        return torch.randn(clean.shape, generator=torch.Generator().manual_seed(5))


def losses_over_draws(micro: MicroBatch, window: Window, settings: MaskLossSettings, draws: int) -> torch.Tensor:
    routing = routing_settings(settings, TrainConfig(background_tokens=0.3))
    assert routing is not None
    denoiser = Constant()
    adapters = LoraAdapters(
        denoiser.module, LoraConfig(rank=2), denoiser.default_targets, torch.Generator().manual_seed(0),
        denoiser.device, torch.float32,
    )  # fmt: skip
    model = TrainedModel(denoiser, adapters, Teacher(settings, adapters), TrainingDtype.FP32, False)
    values = []
    with adapters.attach():
        for draw in range(draws):
            object.__setattr__(micro, "kept", choose_tokens(micro.weights_B1Thw, (1, 2, 2), routing, [draw]))
            values.append(float(micro_batch_loss(micro, window, model, settings, 0.0).loss))
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("normalization", list(Normalization))
def test_the_loss_is_on_average_the_one_over_all_tokens(small_people, normalization: Normalization) -> None:
    """Per-token sums over 400 draws with fixed seeds, within what the draws themselves scatter."""
    settings = MaskLossSettings(min_weight=0.2, normalization=normalization)
    window = windows(small_people, [[0]], settings)
    (micro,) = window.micro_batches
    losses = losses_over_draws(micro, window, settings, 400)
    error = elementwise_error(
        Constant().predict(micro.raw_BCThw, micro.noise_BCThw, micro.t_B, micro.text, False), settings
    )
    numerator, denominator = weighted_sums(error, micro.weights_B1Thw)
    plain = (
        numerator / denominator if normalization is Normalization.PER_SAMPLE else numerator / float(window.normaliser)
    )
    assert losses.std() > 0
    assert abs(losses.mean() - float(plain)) < 3 * float(losses.std()) / 400**0.5


def test_skipped_tokens_do_not_count_and_kept_ones_get_gradients(small_people) -> None:
    window = windows(small_people, [[0]])
    (micro,) = window.micro_batches
    assert micro.kept is not None
    seen: list[torch.Tensor] = []

    class Watched(DemoDenoiser):
        def predict(self, clean, noise, t, text, checkpoint):
            residual = super().predict(clean, noise, t, text, checkpoint).detach().requires_grad_(True)
            seen.append(residual)
            return residual

    denoiser = Watched()
    adapters = LoraAdapters(
        denoiser.module, LoraConfig(rank=2), denoiser.default_targets, torch.Generator().manual_seed(0),
        denoiser.device, torch.float32,
    )  # fmt: skip
    model = TrainedModel(denoiser, adapters, Teacher(FLOOR, adapters), TrainingDtype.FP32, False)
    micro_batch_loss(micro, window, model, FLOOR, 0.0).loss.backward()
    gradient = seen[0].grad
    assert gradient is not None
    counted = micro.kept.factor_B1Thw.expand_as(gradient) > 0
    assert (gradient[~counted] == 0).all()
    assert (gradient[counted] != 0).all()


def test_the_teacher_sees_the_tokens_that_the_student_sees(run, small_people) -> None:
    """Else what routing itself changes would be taken for drift. At the first step the two are the same model."""
    routed: list[KeptTokens] = []

    class Watched(DemoDenoiser):
        def route(self, kept):
            routed.append(kept)
            return super().route(kept)

    settings = MaskLossSettings(prior_weight=1.0)
    result = run(denoiser=Watched(), on=small_people, settings=settings, background_tokens=0.2, steps=1, batch_size=4)
    teacher, student = routed
    assert torch.equal(teacher.indices_BK, student.indices_BK)
    assert result.points[0].prior == 0.0


def test_evaluation_runs_on_all_tokens(run, small_people) -> None:
    plain = run("plain", on=small_people, validation_split=0.25, steps=1)
    routed = run("routed", on=small_people, validation_split=0.25, steps=1, background_tokens=0.2)
    assert plain.validation[0] == routed.validation[0]


def test_the_run_says_how_many_tokens_run_and_the_lora_remembers(run, small_people, tmp_path) -> None:
    watcher = Watcher()
    result = run(watcher=watcher, on=small_people, background_tokens=0.2, steps=2)
    (said,) = (text for text in watcher.texts if text.startswith("background_tokens 0.2: about "))
    assert "run through blocks 2 to 3 of 4 in a step (4 of 4 items looked at)" in said
    assert "Evaluation and sample pictures run on all." in said
    curve = loss_map(History(list(result.points)))["tokens"]
    assert len(curve) == 2
    assert all(0 < value < 1 for value in curve)
    lines = [json.loads(line) for line in (tmp_path / "lora.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["tokens"] for line in lines] == curve
    written = json.loads(result.lora.metadata["maskloss.background_tokens"])
    assert written["fraction"] == 0.2
    assert written["drawing"] == "scattered"
    assert "maskloss.background_tokens" not in run("off", on=small_people).lora.metadata


def test_another_fraction_is_another_run(run, small_people) -> None:
    run(on=small_people, background_tokens=0.2, steps=1)
    with pytest.raises(TrainingError, match=r"train.background_tokens: 0.2 there, 0.3 now"):
        run(on=small_people, background_tokens=0.3, steps=1)
    with pytest.raises(TrainingError, match=r"train.background_tokens: 0.2 there, absent now"):
        run(on=small_people, steps=1)


def test_masks_that_cover_everything_are_said_once(run, make_cache, caplog) -> None:
    cache = make_cache([(name, WIDE, corner(9 + index)) for index, name in enumerate("abc")])
    result = run(on=cache, background_tokens=0.2, steps=6)
    said = [message for message in caplog.messages if "background_tokens saves nothing at" in message]
    assert len(said) == 1
    assert [point.tokens for point in result.points].count(1.0) >= 1


def test_an_empty_mask_is_said_and_its_tokens_are_drawn(run, make_cache, caplog) -> None:
    cache = make_cache([("a", WIDE, corner()), ("empty", WIDE, torch.zeros(1, 1, 12, 12))])
    result = run(on=cache, background_tokens=0.2, steps=4)
    assert sum("The mask of empty is (almost) empty" in message for message in caplog.messages) == 1
    assert all(torch.isfinite(torch.tensor(point.loss)) for point in result.points)


def test_without_mask_loss_nothing_skips_and_it_is_said(run, small_people, caplog) -> None:
    result = run("routed", settings=None, on=small_people, background_tokens=0.2, steps=2)
    said = [
        message for message in caplog.messages if "no mask_loss is connected: every cell counts, none skips" in message
    ]
    assert len(said) == 1
    assert [point.tokens for point in result.points] == [1.0, 1.0]
    assert distance(result, run("plain", settings=None, on=small_people, steps=2)) == 0


def test_a_sample_whose_mask_does_not_act_by_chance_runs_whole(run, small_people, caplog) -> None:
    result = run(settings=MaskLossSettings(probability=0.5), on=small_people, background_tokens=0.2, steps=8)
    assert {point.tokens == 1.0 for point in result.points} == {True, False}
    assert not any("saves nothing" in message for message in caplog.messages)


def test_a_model_that_cannot_be_routed_is_refused_before_the_first_step(run, small_people, tmp_path) -> None:
    class Fixed:
        def __init__(self) -> None:
            self._inner = DemoDenoiser()

        def __getattr__(self, name: str):
            if name in ("route", "routed_blocks"):
                raise AttributeError(name)
            return getattr(self._inner, name)

    with pytest.raises(
        TrainingError, match=r"^background_tokens: maskloss-demo-flow-1-seed0 cannot skip tokens; set it to"
    ):
        run(denoiser=Fixed(), on=small_people, background_tokens=0.5)
    assert not list(tmp_path.glob("lora*"))


@pytest.mark.parametrize("fraction", [0.0, -1.0, 1.5, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(SettingError, match=r"background_tokens must be in range \(0, 1\]"):
        TrainConfig(background_tokens=fraction)


def test_checkpointing_changes_nothing(run, small_people) -> None:
    common = {"on": small_people, "background_tokens": 0.3, "steps": 2, "settings": PLAIN}
    assert distance(run("a", **common), run("b", gradient_checkpointing=True, **common)) < 1e-6


def test_dropout_in_the_adapter_and_routing_go_together(run, small_people) -> None:
    common = {"on": small_people, "background_tokens": 0.3, "steps": 3, "lora": LoraConfig(rank=2, dropout=0.3)}
    assert_same(run("a", **common), run("b", **common))
