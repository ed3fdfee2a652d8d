"""Of the LoRA files of a run, the one to keep by its scores."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ..errors import TrainingError
from ..files import read_text
from ..scores.best_checkpoint import CheckpointChoice, choose_checkpoint
from ..scores.checkpoint_scores import CheckpointScores, scores_from_json
from ..tensor_files import open_tensors
from .loss_log import SCORES
from .run import LORA_SUFFIX, RunFiles

_NUMBERED = re.compile(r"(.+)-step\d{8,}")


def read_scores(log: Path) -> list[CheckpointScores]:
    """The scores in a run's `.jsonl`, by step; of a step that was scored twice the last. TrainingError when the file
    is missing or damaged."""
    try:
        lines = read_text(log).split("\n")
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

    `lora` is the run's file or one of its numbered ones. Only steps whose LoRA lies on disk take part: those of
    `save_every`, and the last; a file that does not carry the scores of this run is another run's of that name.
    TrainingError when the run has no scores, or none of its files may be kept.
    """
    files = run_of(lora)
    scores = read_scores(files.log)
    if not any(each.step > 0 for each in scores):
        raise TrainingError(
            f"The run of {files.lora} has no scores: connect recognizer and identity to Sampling and train it again."
        )
    kept = {
        each.step: files.numbered_path(each.step) for each in scores if _carries(files.numbered_path(each.step), each)
    }
    kept |= {each.step: files.lora for each in scores if _carries(files.lora, each)}
    choice = choose_checkpoint([each for each in scores if each.step in kept])
    if choice.step is None:
        raise TrainingError(f"No LoRA of {files.lora} can be recommended. {choice.reason}")
    return kept[choice.step], replace(choice, reason=choice.reason + _better_unsaved(scores, choice))


def run_of(lora: Path) -> RunFiles:
    """The run that `lora` is a file of: its own, or for a numbered LoRA that of the name before the number."""
    files = RunFiles(lora.with_name(lora.name.removesuffix(LORA_SUFFIX)))
    numbered = _NUMBERED.fullmatch(files.output.name)
    # A run may have such a name itself; then it has a log of its own.
    return RunFiles(lora.with_name(numbered[1])) if numbered and not files.log.exists() else files


def _carries(lora: Path, scores: CheckpointScores) -> bool:
    """Whether a LoRA file is there and notes these very scores."""
    try:
        with open_tensors(lora) as file:
            noted: str = (file.metadata() or {}).get("maskloss.scores", "null")
        return json.loads(noted) == scores.to_json()
    except (SafetensorError, OSError, ValueError, RecursionError):
        return False


def _better_unsaved(scores: Sequence[CheckpointScores], choice: CheckpointChoice) -> str:
    """A remark where the rule would have taken a step that was not saved."""
    best = choose_checkpoint(scores).step
    if best is None or best == choice.step:
        return ""
    return f" Step {best} scored better, and its LoRA is not there: set save_every to where samples are drawn."
