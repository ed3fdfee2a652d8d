"""Every figure is declared once, and what stands on disk stays as it was."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.train.loss_log import LossLog, loss_map
from maskloss.core.train.metrics import (
    METRICS,
    PERSON_TONES,
    SCORE_METRICS,
    STEP_METRICS,
    Drawn,
    History,
    LossPoint,
    person_metric,
    person_metrics,
)

HISTORY = History(
    [
        LossPoint(1, 0.5, None, 0.75, 0.25, 1e-4, 2.0, ("a",), 0.125),
        LossPoint(2, 0.25, 0.5, None, 1.0, 1e-4, 1.0),
    ],
    [(0, 1.5), (2, 1.25)],
    [CheckpointScores(0, 1, 1, 0.2)],
)


def test_every_figure_that_is_measured_is_declared_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    fields = {field.name for field in dataclasses.fields(LossPoint)}
    assert {metric.name for metric in STEP_METRICS} == fields - {"step", "near_zero", "people"}
    assert {metric.name for metric in SCORE_METRICS} <= {field.name for field in dataclasses.fields(CheckpointScores)}
    assert {metric.drawn for metric in SCORE_METRICS} == {Drawn.SCORES}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_figure_can_be_drawn_anywhere(metric) -> None:
    assert metric.words
    assert metric.unit
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in metric.colours)
    assert re.fullmatch("[a-z-]+", metric.tone), "a name in a style sheet"
    assert json.loads(json.dumps(metric.to_json()))["name"] == metric.name


def test_the_log_is_what_it_was_byte_for_byte(tmp_path: Path) -> None:
    log = LossLog(tmp_path / "x.jsonl", History([], HISTORY.validation[:1], HISTORY.scores))
    log.add(HISTORY.points[0])
    log.add(HISTORY.points[1])
    log.add_validation(*HISTORY.validation[1])
    unknown = '"base_likeness": null, "bleed": null, "copy_risk": null, "copy_of": null, "background_leak": null, '
    assert (tmp_path / "x.jsonl").read_text(encoding="utf-8") == (
        '{"step": 0, "validation": 1.5}\n'
        '{"step": 0, "scores": {"step": 0, "pictures": 1, "faces": 1, "likeness": 0.2, ' + unknown + '"drift": null}}\n'
        '{"step": 1, "loss": 0.5, "inside": null, "outside": 0.75, "coverage": 0.25, "learning_rate": 0.0001, '
        '"grad_norm": 2.0, "near_zero": ["a"], "prior": 0.125}\n'
        '{"step": 2, "loss": 0.25, "inside": 0.5, "outside": null, "coverage": 1.0, "learning_rate": 0.0001, '
        '"grad_norm": 1.0, "near_zero": [], "prior": null}\n'
        '{"step": 2, "validation": 1.25}\n'
    )
    written = (tmp_path / "x.jsonl").read_bytes()
    LossLog(tmp_path / "x.jsonl", HISTORY)
    assert (tmp_path / "x.jsonl").read_bytes() == written, "written at once it is the same"


def test_the_loss_map_has_the_order_that_it_had() -> None:
    assert list(loss_map(HISTORY)) == [
        "loss", "coverage", "learning_rate", "grad_norm", "inside", "outside", "prior", "validation", "scores",
    ]  # fmt: skip


def test_the_states_course_is_what_it_was(run, tmp_path: Path) -> None:
    result = run(steps=1, validation_split=0.0)
    course = json.loads(torch.load(tmp_path / "lora.state", weights_only=True)["course"])
    assert list(course) == ["points", "validation", "warnings", "scores"]
    (point,) = course["points"]
    assert list(point) == [
        "step", "loss", "inside", "outside", "coverage", "learning_rate", "grad_norm", "near_zero", "prior",
    ]  # fmt: skip
    assert point["loss"] == result.points[0].loss


def test_each_person_has_a_figure_and_a_colour_of_a_style_sheet() -> None:
    names = ["loss", "inside", *(f"inside/{name}" for name in ("berta", "anna")), "insider"]
    metrics = person_metrics(names)
    assert [(metric.name, metric.words) for metric in metrics] == [("inside/anna", "anna"), ("inside/berta", "berta")]
    assert {metric.tone for metric in metrics} <= {metric.tone for metric in PERSON_TONES}
    assert person_metric("x", 0).tone == person_metric("y", len(PERSON_TONES)).tone
