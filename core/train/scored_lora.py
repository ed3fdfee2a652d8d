"""Of the LoRA files of a run, the one to keep by its scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import TrainingError
from ..scores.best_checkpoint import CheckpointChoice, choose_checkpoint
from ..scores.checkpoint_scores import CheckpointScores, scores_from_json
from .lora_file import load_lora
from .loss_log import SCORES
from .run import RunFiles


def read_scores(log: Path) -> list[CheckpointScores]:
    """The scores in a run's `.jsonl`, by step; of a step that was scored twice the last. TrainingError when the file
    is missing or damaged."""
    try:
        lines = log.read_text(encoding="utf-8").split("\n")
        # What ends without a line break was cut off as it was written.
        values: list[Any] = [json.loads(line) for line in lines[:-1] if line.strip()]
        found = [scores_from_json(each[SCORES]) for each in values if SCORES in each]
    except FileNotFoundError as problem:
        raise TrainingError(
            f"There is no training log {log}: give the path that Train LoRA returned, with its files beside it."
        ) from problem
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise TrainingError(
            f"The training log {log} is damaged ({problem}): choose a LoRA by its sample pictures, or train again."
        ) from problem
    return [score for _, score in sorted({score.step: score for score in found}.items())]


def best_lora(lora: Path) -> tuple[Path, CheckpointChoice]:
    """The file of the checkpoint to keep, of the run that wrote `lora`, and why it is that one.

    Only steps whose LoRA lies on disk take part: those of `save_every`, and the last. TrainingError when the run has no
    scores, or none of its files may be kept.
    """
    files = RunFiles(lora.with_suffix(""))
    scores = read_scores(files.log)
    if not any(each.step > 0 for each in scores):
        raise TrainingError(
            f"The run of {lora} has no scores: connect recognizer and identity to Sampling and train it again."
        )
    kept = {each.step: files.numbered(each.step) for each in scores if files.numbered(each.step).is_file()}
    last = int(load_lora(files.lora).metadata.get("ss_steps", -1)) if files.lora.is_file() else -1
    kept[last] = files.lora
    choice = choose_checkpoint([each for each in scores if each.step in kept])
    if choice.step is None:
        raise TrainingError(f"No LoRA of {lora} can be recommended. {choice.reason}")
    return kept[choice.step], replace(choice, reason=choice.reason + _better_unsaved(scores, choice))


def _better_unsaved(scores: Sequence[CheckpointScores], choice: CheckpointChoice) -> str:
    """A remark where the rule would have taken a step that was not saved."""
    best = choose_checkpoint(scores).step
    if best is None or best == choice.step:
        return ""
    return f" Step {best} scored better and was not saved: set save_every to where samples are drawn."
