from __future__ import annotations

import itertools
import json
from dataclasses import replace

import pytest
from maskloss.core.host.live import MOST_POINTS, KeptRuns, LivePoint, LiveRun, RunState, Series
from maskloss.core.train.metrics import History, LossPoint


def loss_point(step: int, loss: float = 1.0) -> LossPoint:
    return LossPoint(step, loss, loss / 2, None, 0.25, 1e-4, 1.0)


def column(run: LiveRun, name: str) -> dict[int, float | None]:
    """By step."""
    whole = run.whole()
    return {row[0]: row[whole["columns"].index(name)] for row in whole["points"]}


def live_point(step: int, validation: float | None = None) -> LivePoint:
    return LivePoint(step, 1.0, validation)


def test_a_long_run_is_kept_as_few_points_spread_evenly() -> None:
    series = Series(most=50)
    for step in range(1, 10_001):
        series.add(live_point(step, 0.5 if step % 1000 == 0 else None))
    steps = [point.step for point in series.points()]
    assert len(steps) <= 50
    assert steps == sorted(set(steps))
    assert steps[-1] == 10_000
    assert max(after - before for before, after in itertools.pairwise(steps)) <= 2 * 256, "10,000 / 50, as power of 2"
    evaluated = [point.step for point in series.points() if point.validation is not None]
    assert evaluated == list(range(1000, 10_001, 1000)), "an evaluation outlives the steps around it"


def test_short_runs_are_kept_whole() -> None:
    series = Series(most=50)
    for step in range(1, 40):
        series.add(live_point(step))
    assert [point.step for point in series.points()] == list(range(1, 40))


def test_news_are_told_once_and_never_more_than_are_kept() -> None:
    run = LiveRun("1:2", "p", "lora", 5000)
    run.begin(History([loss_point(step) for step in range(1, 4001)]))
    first = run.news()
    assert len(first["points"]) <= MOST_POINTS
    assert first["points"][-1][0] == 4000
    run.step(loss_point(4001))
    assert [row[0] for row in run.news()["points"]] == [4001]
    assert run.news()["points"] == []


def test_a_run_that_has_more_steps_than_are_asked_for_now_is_whole() -> None:
    run = LiveRun("1", "p", "lora", 77)
    assert run.whole()["steps"] == 77
    run.begin(History([loss_point(step) for step in range(1, 201)]))
    assert run.whole()["steps"] == run.news()["steps"] == 200


def test_the_smoothed_loss_is_a_running_mean_that_starts_at_the_first_value() -> None:
    run = LiveRun("1", "p", "lora", 200)
    run.begin(History())
    for step in range(1, 101):
        run.step(loss_point(step, 4.0 if step <= 50 else 2.0))
    smoothed = column(run, "smoothed")
    assert [smoothed[1], smoothed[50]] == pytest.approx([4.0, 4.0])
    assert 2.0 < smoothed[100] < 3.0


def test_every_figure_that_is_drawn_has_its_column() -> None:
    run = LiveRun("1", "p", "lora", 10)
    run.step(LossPoint(1, 1.0, 0.5, 1.5, 0.25, 1e-4, 1.0, prior=0.125))
    run.step(loss_point(2))
    assert column(run, "prior") == {1: 0.125, 2: None}
    whole = run.whole()
    drawn = [metric["name"] for metric in whole["metrics"] if metric["drawn"] in ("chart", "strip")]
    assert sorted(whole["columns"]) == sorted(["step", "smoothed", *drawn])
    assert all(len(row) == len(whole["columns"]) for row in whole["points"])
    assert {name: column(run, name)[1] for name in drawn} == {
        "loss": 1.0, "inside": 0.5, "outside": 1.5, "coverage": 0.25, "learning_rate": 1e-4, "prior": 0.125,
        "tokens": None, "regularisation": None, "dop": None, "validation": None,
    }  # fmt: skip


def test_the_time_left_is_known_after_a_step_of_this_session_and_gone_at_the_end() -> None:
    run = LiveRun("1", "p", "lora", 10)
    run.begin(History([loss_point(1)]))
    assert run.whole()["eta"] is None, "steps of an earlier session say nothing about this one's speed"
    run.step(loss_point(2))
    assert run.whole()["eta"] >= 0
    run.end(RunState.INTERRUPTED)
    assert (run.whole()["eta"], run.whole()["state"]) == (None, "interrupted")


def test_an_evaluation_belongs_to_its_own_step() -> None:
    run = LiveRun("1", "p", "lora", 10)
    run.begin(History([loss_point(1), loss_point(2), loss_point(3)], [(0, 9.0), (2, 7.0)]))
    run.on_validation(4, 5.0)
    run.step(loss_point(4))
    run.step(loss_point(5))
    assert column(run, "validation") == {0: 9.0, 1: None, 2: 7.0, 3: None, 4: 5.0, 5: None}
    whole = run.whole()
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole


def test_what_was_told_later_has_the_higher_number() -> None:
    run = LiveRun("1", "p", "lora", 10)
    assert [run.news()["told"], run.whole()["told"], run.news()["told"]] == [1, 2, 3]


def test_a_sample_is_told_with_its_step() -> None:
    run = LiveRun("1", "p", "lora", 10)
    assert run.whole()["sample"] is None
    run.on_sample(7, {"filename": "a.png", "subfolder": "maskloss", "type": "temp"})
    assert run.whole()["sample"] == {"filename": "a.png", "subfolder": "maskloss", "type": "temp", "step": 7}


def test_a_node_keeps_its_newest_run_of_each_name_and_old_runs_are_let_go() -> None:
    kept = KeptRuns(most=3)
    for node, prompt, name in (("1", "a", "x"), ("2", "b", "x"), ("1", "c", "x"), ("1", "d", "other workflow")):
        kept.keep(LiveRun(node, prompt, name, 10))
    told = [(run["node"], run["prompt"], run["run"]) for run in kept.whole()["runs"]]
    assert told == [("2", "b", "x"), ("1", "c", "x"), ("1", "d", "other workflow")]
    kept.keep(LiveRun("3", "e", "x", 10))
    assert [run["prompt"] for run in kept.whole()["runs"]] == ["c", "d", "e"]


def test_a_person_whose_items_come_has_a_curve_of_their_own() -> None:
    run = LiveRun("1", "p", "lora", 5)
    before = run.whole()["columns"]
    run.step(loss_point(1))
    run.step(replace(loss_point(2), people={"anna": 0.5}))
    run.step(replace(loss_point(3), people={"berta": 0.25, "anna": 0.75}))
    whole = run.whole()
    assert whole["columns"] == [*before, "inside/anna", "inside/berta"], "columns are only ever added"
    assert [row[len(before) :] for row in whole["points"]] == [[], [0.5], [0.75, 0.25]]
    shown = {metric["name"]: metric for metric in whole["metrics"]}
    assert (shown["inside/anna"]["words"], shown["inside/anna"]["drawn"]) == ("anna", "chart")
    assert shown["inside/anna"]["colours"] != shown["inside/berta"]["colours"]
