"""A model that leaves out what does not count: the same LoRA, and no figure of what was not predicted."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from contextlib import contextmanager

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.denoiser import Needed
from maskloss.core.train.token_saving import tells_outside

from .runs import PLAIN, Watcher, assert_same, half

NONSENSE = 1e9


class Leaving(DemoDenoiser):
    """Gives nonsense for the cells that do not count; `needed` are what it was given, pass by pass."""

    saving_note = "It leaves out a lot."

    def __init__(self) -> None:
        super().__init__()
        self.inside: Needed | None = None
        self.needed: list[Needed | None] = []

    def saves(self, needed: Needed) -> bool:
        return not needed.cells_B1Thw.all()

    @contextmanager
    def count_only(self, needed: Needed) -> Generator[None]:
        self.inside = needed
        yield
        self.inside = None

    def predict(self, *arguments: object) -> torch.Tensor:
        difference, needed = super().predict(*arguments), self.inside
        self.needed.append(needed)
        if needed is None or needed.others or not self.saves(needed):
            return difference
        return difference.masked_fill(needed.cells_B1Thw == 0, NONSENSE)


@pytest.mark.parametrize("settings", [PLAIN, MaskLossSettings(gamma=2.0, blur=3), MaskLossSettings(invert=True)])
def test_the_same_is_learnt_and_the_loss_outside_is_told_where_it_is_known(run, make_cache, settings):
    cache = make_cache([("a", (6, 6), half()), ("b", (6, 6), half())])
    plain = run("plain", settings, on=cache, steps=21, batch_size=2)
    saved = run("saved", settings, on=cache, steps=21, batch_size=2, denoiser=Leaving())
    assert all(torch.equal(saved.lora[name], value) for name, value in plain.lora.items())
    told = [index for index, point in enumerate(saved.points) if point.outside is not None]
    assert told == [*range(0, 21, 2)]
    for before, after in zip(plain.points, saved.points, strict=True):
        expected = before if after.outside is not None else dataclasses.replace(before, outside=None)
        assert after == expected


@pytest.mark.parametrize(
    "settings",
    [None, MaskLossSettings(min_weight=0.1), MaskLossSettings(prior_weight=0.5)],
    ids=["no masks", "floor", "prior preservation"],
)
def test_nothing_is_left_out_where_every_cell_counts(run, settings):
    plain = run("plain", settings, steps=21)
    saved = run("saved", settings, steps=21, denoiser=Leaving())
    assert_same(plain, saved)


def test_a_sample_without_its_mask_counts_everywhere(run):
    model = Leaving()
    run("saved", MaskLossSettings(probability=0.5), steps=20, denoiser=model)
    every = [bool(needed.cells_B1Thw.all()) for needed in model.needed]
    assert any(every)
    assert not all(every)


def test_in_a_window_of_which_a_part_was_not_predicted_there_is_no_loss_outside(run, make_cache):
    cache = make_cache([("a", (6, 6), half()), ("b", (6, 6), None)])
    result = run("saved", PLAIN, on=cache, steps=20, gradient_accumulation_steps=2, denoiser=Leaving())
    assert [point.outside is None for point in result.points[:-1]] == [step % 2 == 1 for step in range(19)]


def test_the_log_says_what_is_left_out(run):
    watchers = [Watcher(), Watcher()]
    for watcher, settings in zip(watchers, (PLAIN, MaskLossSettings(min_weight=0.1)), strict=True):
        run(f"said-{settings.min_weight}", settings, denoiser=Leaving(), watcher=watcher)
    assert [Leaving.saving_note in watcher.texts for watcher in watchers] == [True, False]


@pytest.mark.parametrize("settings", [PLAIN, MaskLossSettings(invert=True)], ids=["plain", "inverted"])
def test_the_log_says_once_where_nothing_is_saved(run, make_cache, settings):
    """Of two items whose masks cover everything, one without a mask and one that a mask covers in part."""
    all_of_it = torch.full((1, 1, 6, 6), 0.0 if settings.invert else 1.0)
    cache = make_cache([("a", (6, 6), all_of_it), ("b", (6, 6), half()), ("c", (6, 6), all_of_it), ("d", (6, 6), None)])
    watcher = Watcher()
    run("covered", settings, on=cache, steps=8, denoiser=Leaving(), watcher=watcher)
    assert watcher.texts[watcher.texts.index(Leaving.saving_note) + 1] == (
        "So nothing is saved at 3 of 4 items looked at, whose masks cover the whole picture or nearly all of it: "
        "a, c, d."
    )
    assert sum("nothing is saved" in text for text in watcher.texts) == 1


def test_a_model_that_never_saves_says_nothing_of_masks(run, make_cache):
    cache, watcher = make_cache([("a", (6, 6), torch.ones(1, 1, 6, 6)), ("b", (6, 6), half())]), Watcher()
    model = Leaving()
    model.saves = lambda needed: False
    run("never", PLAIN, on=cache, denoiser=model, watcher=watcher)
    assert Leaving.saving_note in watcher.texts
    assert not any("nothing is saved" in text for text in watcher.texts)


@pytest.mark.parametrize(("steps", "told"), [(1, 1), (5, 5), (25, 13), (1000, 101)])
def test_how_often_the_loss_outside_is_told(steps, told):
    times = [step for step in range(steps) if tells_outside(step, steps)]
    assert (times[0], times[-1], len(times)) == (0, steps - 1, told)
