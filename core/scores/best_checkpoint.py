"""Which checkpoint of a run to keep, by its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .checkpoint_scores import CheckpointScores

EQUAL_WITHIN = 0.02
LEAST_GAIN = 0.05
MOST_COPY_RISK = 0.25

RULE = (
    "Keep the earliest checkpoint whose likeness minus bleed is within 0.02 of the best, among those that show a face "
    "in at least half of the pictures and whose copy risk is at most 0.25."
)


@dataclass(frozen=True)
class CheckpointChoice:
    """`step` is the checkpoint to keep, or None where the rule names none; `sure` is False where the figures are too
    weak to rely on. `reason` is a sentence for a person."""

    step: int | None
    sure: bool
    reason: str


def choose_checkpoint(scores: Sequence[CheckpointScores]) -> CheckpointChoice:
    """The checkpoint to keep by RULE; what was drawn before the first step is none.

    It is not sure with fewer than two pictures that show a face, or where the likeness is less than 0.05 above the base
    model's.
    """
    trained = [each for each in scores if each.step > 0]
    if not trained:
        return CheckpointChoice(None, False, "No checkpoint has scores.")
    faces = [each for each in trained if each.likeness is not None and 2 * each.faces >= each.pictures]
    if not faces:
        shown = max(each.faces for each in trained)
        return CheckpointChoice(
            None,
            False,
            f"No checkpoint shows a face in half of its pictures (at most {shown} of {trained[0].pictures}).",
        )
    clean = [each for each in faces if each.copy_risk is None or each.copy_risk <= MOST_COPY_RISK]
    if not clean:
        nearest = min(faces, key=lambda each: each.copy_risk or 0.0)
        return CheckpointChoice(
            None,
            False,
            f"Every checkpoint that shows a face repeats a training photograph (the least, step {nearest.step}, has a "
            f"copy risk of {nearest.copy_risk:.2f}).",
        )
    best = max(_merit(each) for each in clean)
    chosen = next(each for each in sorted(clean, key=lambda each: each.step) if _merit(each) >= best - EQUAL_WITHIN)
    return _explain(chosen)


def _merit(scores: CheckpointScores) -> float:
    return (scores.likeness or 0.0) - max(0.0, scores.bleed or 0.0)


def _explain(chosen: CheckpointScores) -> CheckpointChoice:
    likeness = chosen.likeness or 0.0
    base = chosen.base_likeness
    bleed = "bleed not measured" if chosen.bleed is None else f"bleed {chosen.bleed:+.2f}"
    beside = "the base model's show no face" if base is None else f"the base model's {base:.2f}"
    reason = (
        f"Step {chosen.step}: likeness {likeness:.2f} ({beside}), {bleed}, a face in {chosen.faces} of "
        f"{chosen.pictures} pictures."
    )
    doubts = ["fewer than two pictures show a face"] if chosen.faces < 2 else []
    if base is not None and likeness < base + LEAST_GAIN:
        doubts.append(f"the likeness is less than {LEAST_GAIN} above the base model's")
    return CheckpointChoice(chosen.step, not doubts, f"{reason} Not sure: {'; '.join(doubts)}." if doubts else reason)
