"""The report's checkpoints: their scores over the steps, their sample pictures, and which one to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..draw.charts import Curve, line_chart
from ..errors import ImageError
from ..images import load_image
from ..scores.best_checkpoint import RULE, choose_checkpoint
from ..scores.checkpoint_scores import CheckpointScores, scores_from_json
from ..train.loss_log import SCORES
from ..train.metrics import SCORE_METRICS, Metric
from ..train.scored_lora import run_of
from .page import Checkpoints, Legend, Photograph
from .thumbnails import Thumbnails


def scores_in(loss: Mapping[str, Sequence[Any]] | None) -> list[CheckpointScores]:
    """The scores that a LOSS_MAP carries, by step; none where it has none, or those of another program."""
    try:
        return [scores_from_json(each) for each in (loss or {}).get(SCORES, ())]
    except (KeyError, TypeError, ValueError):
        return []


def choice_line(scores: Sequence[CheckpointScores]) -> str:
    """Which checkpoint to keep, in a line for a terminal."""
    choice = choose_checkpoint(scores)
    return f"Checkpoint to keep: {'none' if choice.step is None else f'step {choice.step}'}. {choice.reason}"


def draw_checkpoints(
    scores: Sequence[CheckpointScores], lora: Path | None, thumbnails: Thumbnails
) -> Checkpoints | None:
    """The chart and a row for each checkpoint, with its pictures where they lie beside the LoRA file; None without
    scores."""
    if not scores:
        return None
    kept = choose_checkpoint(scores).step
    curves = [curve for metric in SCORE_METRICS if (curve := _curve(metric, scores)).values]
    return Checkpoints(
        chart=line_chart(curves, "optimizer step", "score"),
        legend=tuple(Legend(f"var(--{curve.tone})", curve.name) for curve in curves),
        text=f"{choice_line(scores)} {RULE}",
        rows=tuple(_row(each, kept, lora, thumbnails) for each in scores),
    )


def _curve(metric: Metric, scores: Sequence[CheckpointScores]) -> Curve:
    known = [(each.step, float(value)) for each in scores if (value := getattr(each, metric.name)) is not None]
    return Curve(metric.words, metric.tone, [step for step, _ in known], [value for _, value in known], dots=True)


def _row(scores: CheckpointScores, kept: int | None, lora: Path | None, thumbnails: Thumbnails) -> Photograph:
    files = None if lora is None else run_of(lora)
    pictures = [] if files is None else [("samples", files.sample(scores.step))]
    if files is not None and scores.step == 0:
        pictures.append(("base model", files.base_sample))
    figures = []
    notes: list[str] = []
    for title, path in pictures:
        if path.is_file():
            try:
                figures.append(thumbnails.add(title, load_image(path)[0]))
            except ImageError as error:
                notes.append(str(error))
    facts = [("a face in", f"{scores.faces} of {scores.pictures} pictures")]
    measured = [(metric.words, getattr(scores, metric.name)) for metric in SCORE_METRICS]
    facts += [(words, f"{value:.2f}") for words, value in measured if value is not None]
    if scores.base_likeness is not None:
        facts.append(("likeness of the base model", f"{scores.base_likeness:.2f}"))
    if scores.copy_of is not None:
        facts.append(("nearest photograph", scores.copy_of))
    keep = scores.step == kept
    badge = "keep" if keep else "before training" if scores.step == 0 else "checkpoint"
    return Photograph(f"step {scores.step}", badge, keep, "", tuple(figures), tuple(facts), tuple(notes))
