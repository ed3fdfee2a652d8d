"""A run in which nothing counts is refused, and what is not known is no number anywhere."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.report.report import write_report
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.loss_log import points_from_json
from maskloss.core.warning import collect_warnings

from .runs import SIZE, Watcher, half

BLACK, WHITE = torch.zeros(1, 1, *SIZE), torch.ones(1, 1, *SIZE)


@pytest.fixture
def black(make_cache):
    return make_cache([("a", SIZE, BLACK), ("b", SIZE, BLACK)])


def test_black_masks_are_refused_before_the_first_step_and_leave_nothing(run, black, tmp_path: Path):
    watcher = Watcher()
    with pytest.raises(TrainingError, match=r"the masks of all 2 cached items are black .* min_weight is 0 \(a, b\)"):
        run(on=black, watcher=watcher)
    assert watcher.checks == 0
    assert [path.name for path in tmp_path.iterdir()] == []


def test_white_masks_are_the_same_with_invert(run, make_cache):
    white = make_cache([("a", SIZE, WHITE)])
    with pytest.raises(TrainingError, match="white everywhere, and invert is on"):
        run(settings=MaskLossSettings(invert=True), on=white)
    assert run("plain", on=white).points[-1].loss > 0


@pytest.mark.parametrize(
    "settings",
    [MaskLossSettings(min_weight=0.1), MaskLossSettings(invert=True), MaskLossSettings(probability=0.5), None],
    ids=["floor", "invert", "probability", "no mask loss"],
)
def test_black_masks_are_trained_where_something_counts(run, black, settings):
    assert any(point.grad_norm > 0 for point in run(settings=settings, on=black, steps=6).points)


def test_an_item_without_a_mask_counts(run, make_cache):
    mixed = make_cache([("a", SIZE, BLACK), ("b", SIZE, None)])
    assert any(point.loss > 0 for point in run(on=mixed).points)


def only_the_empty_one(run, make_cache) -> int:
    """A seed with which the first two steps draw the item whose mask is empty."""
    for seed in range(100):
        cache = make_cache([("empty", SIZE, BLACK), *((name, SIZE, half()) for name in "bcd")], repeats=2)
        watcher = Watcher()
        run(f"seed{seed}", on=cache, steps=3, seed=seed, watcher=watcher)
        if [point.near_zero for point in watcher.points[:2]] == [("empty",), ("empty",)]:
            return seed
    raise AssertionError("no seed draws it twice at first")


def test_what_only_the_end_can_show_is_refused_there_and_the_name_is_free(run, make_cache, tmp_path: Path):
    seed = only_the_empty_one(run, make_cache)
    cache = make_cache([("empty", SIZE, BLACK), *((name, SIZE, half()) for name in "bcd")], repeats=2)
    for _ in range(2):
        with pytest.raises(
            TrainingError, match=r"Nothing was learnt in 2 steps: .* \(empty\), so the LoRA .* not kept"
        ):
            run("short", on=cache, steps=2, seed=seed)
        assert not list(tmp_path.glob("short*"))
    longer = run("short", on=cache, steps=3, seed=seed)
    assert longer.points[-1].loss > 0


def test_the_log_the_map_and_the_summary_say_no_value(run, make_cache, tmp_path: Path):
    seed = only_the_empty_one(run, make_cache)
    cache = make_cache([("empty", SIZE, BLACK), *((name, SIZE, half()) for name in "bcd")], repeats=2)
    with collect_warnings(lambda text: None) as given:
        result = run("long", on=cache, steps=8, seed=seed)
    assert given.texts.count("The mask of empty is (almost) empty on the latent grid; it adds nothing.") == 1
    loss = result.loss_map
    assert loss["inside"][:2] == [None, None]
    assert all(isinstance(value, float) and value == value for value in loss["loss"])
    lines = [json.loads(line) for line in (tmp_path / "long.jsonl").read_text().splitlines()]
    assert [line["inside"] for line in lines] == loss["inside"]
    assert points_from_json(lines)[0].inside is None
    page, told = write_report(tmp_path / "report", None, None, loss, None)
    (inside,) = [line for line in told if line.startswith("Loss inside")]
    assert inside.startswith("Loss inside the mask: no value at first, ")
    assert inside.endswith("(8 steps, 2 without: that part of the picture was empty).")
    html = page.read_text()
    assert "<b>– → " in html
    assert "0.0000" not in html
    again = run("long", on=cache, steps=8, seed=seed)
    assert again.loss_map == loss
    assert load_lora(again.path).keys() == result.lora.keys()


def test_a_map_without_any_value_inside_still_has_a_page(tmp_path: Path):
    loss = {"loss": [1.0, 0.5], "inside": [None, None], "outside": [None, 0.5], "prior": [None, None]}
    page, told = write_report(tmp_path / "report", None, None, loss, None)
    assert told[0] == "Loss in all: 1.0000 at first, 0.5000 at last (2 steps)."
    assert "<svg" in page.read_text()


def test_a_validation_of_empty_masks_is_no_zero(run, cache, black):
    with collect_warnings(lambda text: None) as given:
        result = run(validation_cache=replace(black, directory=cache.directory), steps=2)
    assert result.validation == ()
    assert any("nothing to evaluate" in text for text in given.texts)
