"""The report's checkpoints: their scores over the steps, their sample pictures, and which one to keep; of a run without
scores the pictures alone."""

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
from .page import Checkpoints, Figure, Legend, Photograph
from .thumbnails import Thumbnails

MOST_SAMPLES = 6


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


def draw_samples(lora: Path | None, thumbnails: Thumbnails) -> Photograph | None:
    """A row with the sample pictures beside a LoRA file: the first, the last, and some between them, evenly spread;
    None where there are none."""
    if lora is None:
        return None
    files = run_of(lora)
    steps = files.sampled_steps()
    if not steps:
        return None
    count = min(len(steps), MOST_SAMPLES)
    shown = [steps[round(index * (len(steps) - 1) / max(1, count - 1))] for index in range(count)]
    figures, notes = _read_figures([(f"step {step}", files.sample(step)) for step in shown], thumbnails)
    return Photograph(files.output.name, f"{count} of {len(steps)}", True, "", figures, (), notes)


def _read_figures(
    pictures: Sequence[tuple[str, Path]], thumbnails: Thumbnails
) -> tuple[tuple[Figure, ...], tuple[str, ...]]:
    """Those that are there, and what is to be said of any that cannot be read."""
    figures: list[Figure] = []
    notes: list[str] = []
    for title, path in pictures:
        if path.is_file():
            try:
                figures.append(thumbnails.add(title, load_image(path)[0]))
            except ImageError as error:
                notes.append(str(error))
    return tuple(figures), tuple(notes)


def _curve(metric: Metric, scores: Sequence[CheckpointScores]) -> Curve:
    known = [(each.step, float(value)) for each in scores if (value := getattr(each, metric.name)) is not None]
    return Curve(metric.words, metric.tone, [step for step, _ in known], [value for _, value in known], dots=True)


def _row(scores: CheckpointScores, kept: int | None, lora: Path | None, thumbnails: Thumbnails) -> Photograph:
    files = None if lora is None else run_of(lora)
    pictures = [] if files is None else [("samples", files.sample(scores.step))]
    if files is not None and scores.step == 0:
        pictures.append(("base model", files.base_sample))
    figures, notes = _read_figures(pictures, thumbnails)
    facts = [("a face in", f"{scores.faces} of {scores.pictures} pictures")]
    measured = [(metric.words, getattr(scores, metric.name)) for metric in SCORE_METRICS]
    facts += [(words, f"{value:.2f}") for words, value in measured if value is not None]
    if scores.base_likeness is not None:
        facts.append(("likeness of the base model", f"{scores.base_likeness:.2f}"))
    if scores.copy_of is not None:
        facts.append(("nearest photograph", scores.copy_of))
    keep = scores.step == kept
    badge = "keep" if keep else "before training" if scores.step == 0 else "checkpoint"
    return Photograph(f"step {scores.step}", badge, keep, "", figures, tuple(facts), notes)
