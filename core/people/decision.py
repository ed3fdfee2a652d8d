"""By which rules a face counts as a person, and what was decided about a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from ..errors import InternalError, PersonError, SettingError
from .faces import Face


class OnNoMatch(str, Enum):
    """What happens to a picture in which the person cannot be told apart."""

    ERROR = "error"
    EMPTY = "empty"
    LARGEST = "largest"
    SKIP = "skip"


class Outcome(str, Enum):
    """How a decision came about; absent: one of several people is not in the picture."""

    MATCH = "match"
    INDEX = "index"
    LARGEST = "largest"
    EMPTY = "empty"
    SKIPPED = "skipped"
    ABSENT = "absent"


@dataclass(frozen=True)
class MatchRules:
    """When a face counts as the person.

    min_similarity: 0 means the recogniser's own. margin: how far the best must be ahead of the second.
    face_index: from 0 on, that face is taken without comparing. min_face_px: shorter side of the face box.
    """

    min_similarity: float = 0.0
    margin: float = 0.05
    face_index: int = -1
    on_no_match: OnNoMatch = OnNoMatch.ERROR
    min_face_px: float = 20.0

    def __post_init__(self) -> None:
        for name in ("min_similarity", "margin"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise SettingError(f"{name} must be in the range 0 to 1, got {value}.")
        if self.face_index < -1:
            raise SettingError(
                f"face_index must be -1 (compare with the reference) or the number of a face, got {self.face_index}."
            )
        if not (math.isfinite(self.min_face_px) and self.min_face_px >= 0.0):
            raise SettingError(f"min_face_px must be 0 or more pixels, got {self.min_face_px}.")
        if not isinstance(self.on_no_match, OnNoMatch):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise SettingError(f"on_no_match must be one of error, empty, largest, skip, got {self.on_no_match!r}.")


@dataclass(frozen=True)
class FaceScore:
    """A face of the picture and its similarity to the person (None when nothing was compared)."""

    index: int
    box: tuple[float, float, float, float]
    similarity: float | None
    chosen: bool


@dataclass(frozen=True)
class PersonDecision:
    """What was decided about a picture. `chosen` is a face's number; `area` the fraction of the picture that was kept;
    `needed` the similarity from which on a face was the person, where faces were compared."""

    faces: tuple[FaceScore, ...]
    outcome: Outcome
    chosen: int | None
    reason: str
    area: float | None = None
    needed: float | None = None

    def __post_init__(self) -> None:
        nobody = self.outcome in (Outcome.EMPTY, Outcome.SKIPPED, Outcome.ABSENT)
        marked = [face.index for face in self.faces if face.chosen]
        if nobody != (self.chosen is None) or marked != ([] if self.chosen is None else [self.chosen]):
            raise InternalError(f"decision {self.outcome.value}: chosen {self.chosen}, but marked {marked}")

    def to_json(self) -> dict[str, object]:
        """The report's form: {"faces": [{"index", "box", "similarity", "chosen"}], "needed", "decision", "reason",
        "area"}."""
        return {
            "faces": [
                {
                    "index": face.index,
                    "box": [round(edge, 2) for edge in face.box],
                    "similarity": None if face.similarity is None else round(face.similarity, 4),
                    "chosen": face.chosen,
                }
                for face in self.faces
            ],
            "needed": self.needed,
            "decision": self.outcome.value,
            "reason": self.reason,
            "area": None if self.area is None else round(self.area, 6),
        }


def doubt(decision: PersonDecision | None) -> tuple[int, float]:
    """Sorts pictures so that those come first at which a person should look: left out, emptied, the largest face taken,
    then matches from the closest to the clearest, by how far the face is ahead of what is needed and of the next face;
    last what somebody chose (None: the mask was given).
    """
    order = (Outcome.SKIPPED, Outcome.EMPTY, Outcome.LARGEST, Outcome.MATCH)
    if decision is None or decision.outcome not in order:
        return len(order), 0.0
    alike = sorted((face.similarity for face in decision.faces if face.similarity is not None), reverse=True)
    if decision.outcome is not Outcome.MATCH or decision.needed is None or not alike:
        return order.index(decision.outcome), 0.0
    return order.index(decision.outcome), min(alike[0] - each for each in (decision.needed, *alike[1:2]))


def list_scores(decision: PersonDecision) -> str:
    """The faces' similarities from left to right, the chosen one's with a star: "0.31 0.62* 0.36"."""
    return " ".join(
        ("-" if face.similarity is None else f"{face.similarity:.2f}") + ("*" if face.chosen else "")
        for face in decision.faces
    )


def describe_scores(scores: Sequence[FaceScore]) -> str:
    """Every face with its place and similarity, in words."""
    if not scores:
        return "no face was found"
    return ", ".join(
        f"face {score.index} at ({score.box[0]:.0f}, {score.box[1]:.0f}) "
        + ("not compared" if score.similarity is None else f"{score.similarity:.2f}")
        for score in scores
    )


def without_match(
    faces: Sequence[Face], scores: Sequence[FaceScore], on_no_match: OnNoMatch, cause: str
) -> PersonDecision:
    """The decision about a picture in which the person cannot be told apart because of `cause`.

    Raises PersonError listing every face's score on ERROR, and on LARGEST when there is no face.
    """
    nobody = tuple(replace(score, chosen=False) for score in scores)
    if on_no_match is OnNoMatch.EMPTY:
        return PersonDecision(nobody, Outcome.EMPTY, None, f"{cause}; the mask was left empty, as asked")
    if on_no_match is OnNoMatch.SKIP:
        return PersonDecision(nobody, Outcome.SKIPPED, None, f"{cause}; the picture was left out")
    if on_no_match is OnNoMatch.LARGEST and faces:
        largest = max(faces, key=lambda face: face.area_px).index
        return decided(nobody, Outcome.LARGEST, largest, f"{cause}; the largest face was taken, as asked")
    listed = f" ({describe_scores(scores)})" if scores else ""
    raise PersonError(
        f"The person cannot be told apart: {cause}{listed}. Give more or better reference "
        "pictures, change min_similarity or margin, choose a face with face_index, or leave the picture out."
    )


def decided(scores: Sequence[FaceScore], outcome: Outcome, chosen: int, reason: str) -> PersonDecision:
    marked = tuple(replace(score, chosen=score.index == chosen) for score in scores)
    return PersonDecision(marked, outcome, chosen, reason)
