"""The scores of single pictures, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..people.faces import FaceRecognizer
from ..people.identity import Identity
from ..resample import limit_size
from .backgrounds import describe_background, outside_people
from .likeness import Likeness, measure_likeness
from .training_pictures import LONGEST_PX, TrainingPictures


@dataclass(frozen=True)
class PictureScore:
    """What was measured of one picture.

    copy_of, copy_risk: the training photograph that it is nearest to, and how much nearer than training photographs are
    to each other (perceptual hashes; 0 and below: no nearer, 0.5: the photograph itself). background: how near its
    surroundings are to a training background, 0 to 1. Both are None without training photographs, `background` also
    where nothing lies outside of people.
    """

    likeness: Likeness
    copy_of: str | None = None
    copy_risk: float | None = None
    background: float | None = None

    def to_json(self) -> dict[str, Any]:
        """{"faces", "likeness" (null: no face was found), "similarities" of every face, "copy_of", "copy_risk",
        "background"}."""
        return {
            "faces": self.likeness.faces,
            "likeness": round_score(self.likeness.best),
            "similarities": [round(each, 4) for each in self.likeness.similarities],
            "copy_of": self.copy_of,
            "copy_risk": round_score(self.copy_risk),
            "background": round_score(self.background),
        }


@dataclass(frozen=True, eq=False)
class PictureScorer:
    """Measures pictures against one person, and against training photographs where there are some."""

    recognizer: FaceRecognizer
    identity: Identity
    training: TrainingPictures | None = None

    def score(self, rgb_HWC: np.ndarray) -> PictureScore:
        """Of a uint8 RGB picture. SettingError when the identity was made by another recogniser."""
        likeness = measure_likeness(rgb_HWC, self.recognizer, self.identity)
        if self.training is None:
            return PictureScore(likeness)
        small_HWC, scale = limit_size(rgb_HWC, LONGEST_PX)
        name, nearest = self.training.hashes.nearest(small_HWC)
        boxes = [(x0 * scale, y0 * scale, x1 * scale, y1 * scale) for x0, y0, x1, y1 in likeness.boxes]
        outside_HW = outside_people((small_HWC.shape[1], small_HWC.shape[0]), boxes)
        description_K = describe_background(small_HWC, outside_HW)
        background = None if description_K is None else self.training.nearest_background(description_K)
        return PictureScore(likeness, name, nearest - self.training.typical, background)


def mean_likeness(scores: Sequence[PictureScore]) -> float | None:
    """The mean over the pictures that show a face; None where none does."""
    known = [score.likeness.best for score in scores if score.likeness.best is not None]
    return float(np.mean(known)) if known else None


def round_score(value: float | None) -> float | None:
    """A figure as logs and reports have it: four decimals, None where it was not measured."""
    return None if value is None else round(value, 4)
