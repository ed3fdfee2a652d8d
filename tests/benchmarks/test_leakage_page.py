"""Medians, intervals, the table, the figure, and that what is published agrees with the raw scores beside it."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import maskloss
import numpy as np
import pytest
from maskloss.core.errors import SettingError

from benchmarks.leakage.contenders import CONTENDERS, MASKED, REFERENCE
from benchmarks.leakage.experiment import Pictures, anyone_prompts, other_prompts, trigger_prompts
from benchmarks.leakage.figure import draw_figure
from benchmarks.leakage.page import (
    SCORES,
    against_table_of,
    csv_of,
    difference_of,
    differences_of,
    results_of,
    table_of,
    with_table,
)
from benchmarks.leakage.statistics import paired_difference

ROOT = Path(maskloss.__file__).parent
MARKS = "<!-- table: written by python -m benchmarks.leakage -->", "<!-- end of the table -->"
NUMBER = r"[-+−]?\d+\.\d+"


def made_up(seeds: int = 8):
    generator = np.random.default_rng(0)
    return {
        contender.name: {
            seed: {score: float(generator.uniform()) for score in SCORES} for seed in range(seeds)
        }
        for contender in CONTENDERS
    }  # fmt: skip


def test_a_difference_is_paired() -> None:
    reference = {seed: float(seed) for seed in range(8)}
    values = {seed: seed + 0.1 for seed in range(9)}
    difference = paired_difference(values, reference)
    assert (difference.median, difference.low, difference.high) == pytest.approx((0.1, 0.1, 0.1))
    assert difference.certain


def test_an_interval_holds_the_median_and_says_when_0_is_in_it() -> None:
    reference = dict.fromkeys(range(8), 0.5)
    values = {seed: 0.5 + (0.1 if seed % 2 else -0.1) for seed in range(8)}
    difference = paired_difference(values, reference)
    assert difference.low <= difference.median <= difference.high
    assert (difference.low, difference.high) == pytest.approx((-0.1, 0.1))
    assert not difference.certain
    assert paired_difference(values, reference) == difference


def test_raw_scores_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = made_up(2)
    (tmp_path / "x.csv").write_text(csv_of(CONTENDERS, results), encoding="utf-8")
    again = results_of(tmp_path / "x.csv")
    assert again.keys() == results.keys()
    for name, seeds in results.items():
        for seed, values in seeds.items():
            assert again[name][seed] == pytest.approx(values, abs=6e-5)


def test_the_table_has_a_row_for_each_contender_and_leaves_prose_alone() -> None:
    table = table_of(CONTENDERS, made_up())
    for contender in CONTENDERS:
        assert f"| {contender.name} |" in table
    beside = against_table_of(CONTENDERS, made_up())
    for contender in CONTENDERS:
        row = f"| {contender.name} | {contender.against} | "
        assert (row in beside) == (contender.name not in (REFERENCE, MASKED))
    page = f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n"
    assert with_table(page, "new") == f"before\n{MARKS[0]}\n\nnew\n{MARKS[1]}\nafter\n"
    with pytest.raises(SettingError, match="no place for the table"):
        with_table("prose", "new")


def test_the_figure_is_drawn_with_a_row_for_each_contender() -> None:
    prompts = (trigger_prompts(), other_prompts(), anyone_prompts())
    pictures = Pictures(*(np.zeros((len(each), 32, 32, 3), np.float32) for each in prompts))
    few, all_of_them = (
        draw_figure(pictures.ours_NHWC, {"no mask": pictures}, contenders, differences_of(made_up()), "title")
        for contenders in (CONTENDERS[:4], CONTENDERS)
    )
    assert few.dtype == np.uint8
    assert few.shape[1:] == all_of_them.shape[1:]
    assert few.shape[0] < all_of_them.shape[0]


def test_what_is_published_agrees_with_the_raw_scores() -> None:
    results = results_of(ROOT / "docs/leakage.csv")
    seeds = {len(each) for each in results.values()}
    assert list(results) == [contender.name for contender in CONTENDERS]
    assert min(seeds) >= 8
    page = (ROOT / "docs/leakage.md").read_text(encoding="utf-8")
    differences = differences_of(results)
    for name, values in results.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
        for score, cell in zip(SCORES, row.split("|")[2:-1], strict=True):
            numbers = [float(each) for each in re.findall(NUMBER, cell)]
            wanted = [statistics.median(each[score] for each in values.values())]
            if name != REFERENCE:
                difference = differences[name][score]
                wanted += [difference.median, difference.low, difference.high]
            assert numbers == pytest.approx(wanted, abs=0.0011)


def test_what_is_published_beside_another_contender_agrees_with_the_raw_scores() -> None:
    results = results_of(ROOT / "docs/leakage.csv")
    page = (ROOT / "docs/leakage.md").read_text(encoding="utf-8").partition("| contender | against |")[2]
    page = page.partition("<!-- end of the table -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()[2:]]
    told = {row[0]: row[1:] for row in rows if row}
    by_name = {contender.name: contender for contender in CONTENDERS}
    assert told.keys() == by_name.keys() - {REFERENCE, MASKED}
    for name, (against, *cells) in told.items():
        assert against == by_name[name].against
        differences = difference_of(results, name, against)
        for score, cell in zip(SCORES, cells, strict=True):
            difference = differences[score]
            numbers = [float(each) for each in re.findall(NUMBER, cell)]
            assert numbers == pytest.approx((difference.median, difference.low, difference.high), abs=0.0011)


def test_the_readme_agrees_with_the_raw_scores() -> None:
    """Its rows are `| contender | fit | leak | bleed | drift |`, medians to two places."""
    results = results_of(ROOT / "docs/leakage.csv")
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## What a mask buys")[2].partition("\n## ")[0]
    rows = [[cell.strip().strip("*") for cell in line.split("|")[1:-1]] for line in section.splitlines()]
    rows = [row for row in rows if row and row[0] in results]
    assert len(rows) >= 10
    for name, *cells in rows:
        wanted = [statistics.median(each[score] for each in results[name].values()) for score in SCORES[:4]]
        assert [float(re.findall(NUMBER, cell)[0]) for cell in cells] == pytest.approx(wanted, abs=0.0051)
