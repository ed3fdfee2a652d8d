"""The scores of one checkpoint: its sample pictures beside those that the base model drew from the same noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from .copies import agreement
from .picture_scores import PictureScore, PictureScorer, mean_likeness, round_score

POSITIVE, BLEED, PLAIN = "positive", "bleed", "plain"

Pictures = Mapping[str, Sequence[np.ndarray]]
"""uint8 RGB pictures by prompt: POSITIVE with the trigger, BLEED of another person, PLAIN of anything; both without."""


@dataclass(frozen=True)
class CheckpointScores:
    """What was measured after `step` optimizer steps. None: it could not be measured, or was not asked for.

    pictures, faces: sampled with the trigger, and how many of them show a face. likeness: the mean similarity to the
    person over those; base_likeness: the same of the base model's. bleed: how much more the faces of another person's
    prompt are like the person than the base model's are. copy_risk: of the sample that is nearest to a training
    photograph (copy_of), beyond what training photographs are to each other. background_leak: how much nearer
    the surroundings are to training backgrounds than the base model's, over all prompts. drift: the share of
    perceptual-hash bits that differ from the base model's picture of the plain prompt.
    """

    step: int
    pictures: int
    faces: int
    likeness: float | None = None
    base_likeness: float | None = None
    bleed: float | None = None
    copy_risk: float | None = None
    copy_of: str | None = None
    background_leak: float | None = None
    drift: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Every field by its name; what was not measured is null."""
        return asdict(self)


def scores_from_json(value: Mapping[str, Any]) -> CheckpointScores:
    """The opposite of `CheckpointScores.to_json`. KeyError, TypeError or ValueError for anything else."""
    known = {field.name for field in fields(CheckpointScores)}
    return CheckpointScores(**{name: value[name] for name in known})


def score_checkpoint(
    step: int, drawn: Pictures, base: Pictures, scorer: PictureScorer, check: Callable[[], None]
) -> CheckpointScores:
    """Compare the pictures of a checkpoint with the base model's from the same noise, in the same order.

    `check` is called before each picture and may raise the host's interrupt.
    """
    own, others = _score_all(drawn, scorer, check), _score_all(base, scorer, check)
    risky = max((score for score in own[POSITIVE] if score.copy_risk is not None), key=_risk, default=None)
    return CheckpointScores(
        step=step,
        pictures=len(own[POSITIVE]),
        faces=sum(score.likeness.faces > 0 for score in own[POSITIVE]),
        likeness=round_score(mean_likeness(own[POSITIVE])),
        base_likeness=round_score(mean_likeness(others[POSITIVE])),
        bleed=_mean_rise(own[BLEED], others[BLEED], lambda score: score.likeness.best),
        copy_risk=None if risky is None else round_score(risky.copy_risk),
        copy_of=None if risky is None else risky.copy_of,
        background_leak=_mean_rise(_all(own), _all(others), lambda score: score.background),
        drift=_drift(drawn.get(PLAIN, ()), base.get(PLAIN, ())),
    )


def _score_all(pictures: Pictures, scorer: PictureScorer, check: Callable[[], None]) -> dict[str, list[PictureScore]]:
    scores: dict[str, list[PictureScore]] = {}
    for prompt in (POSITIVE, BLEED, PLAIN):
        scores[prompt] = []
        for picture in pictures.get(prompt, ()):
            check()
            scores[prompt].append(scorer.score(picture))
    return scores


def _all(scores: Mapping[str, Sequence[PictureScore]]) -> list[PictureScore]:
    return [score for prompt in (POSITIVE, BLEED, PLAIN) for score in scores[prompt]]


def _risk(score: PictureScore) -> float:
    return float("-inf") if score.copy_risk is None else score.copy_risk


def _mean_rise(
    own: Sequence[PictureScore], others: Sequence[PictureScore], figure: Callable[[PictureScore], float | None]
) -> float | None:
    """The mean of own minus other over the pairs in which both are known."""
    pairs = [(figure(one), figure(other)) for one, other in zip(own, others, strict=True)]
    rises = [one - other for one, other in pairs if one is not None and other is not None]
    return round_score(float(np.mean(rises))) if rises else None


def _drift(own: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> float | None:
    differences = [1.0 - agreement(one, other) for one, other in zip(own, others, strict=True)]
    return round_score(float(np.mean(differences))) if differences else None
