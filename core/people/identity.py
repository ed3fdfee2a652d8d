"""Who is looked for, by which rules, and what was decided about a picture."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from ..errors import InternalError, SettingError


class OnNoMatch(str, Enum):
    """What happens to a picture in which the person cannot be told apart."""

    ERROR = "error"
    EMPTY = "empty"
    LARGEST = "largest"
    SKIP = "skip"


class Outcome(str, Enum):
    """How a decision came about."""

    MATCH = "match"
    INDEX = "index"
    LARGEST = "largest"
    EMPTY = "empty"
    SKIPPED = "skipped"


@dataclass(frozen=True, eq=False)
class Identity:
    """The face of the person looked for.

    embeddings_NK: float32 (N, K), one per reference face, as the recogniser gives them. recognizer: the identity of the
    recogniser that made them. sources: the name of the picture behind each.
    """

    embeddings_NK: np.ndarray
    recognizer: str
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = self.embeddings_NK.shape
        if len(shape) != 2 or 0 in shape or shape[0] != len(self.sources) or self.embeddings_NK.dtype != np.float32:
            raise InternalError(f"identity: embeddings {shape} do not fit {len(self.sources)} sources")
        if not np.isfinite(self.embeddings_NK).all():
            raise InternalError("identity: an embedding is not finite")

    @property
    def fingerprint(self) -> str:
        """Hex; equal for the same faces seen by the same recogniser, whatever their pictures are called."""
        digest = hashlib.sha256(f"{self.recognizer}|{self.embeddings_NK.shape}|".encode())
        digest.update(np.ascontiguousarray(self.embeddings_NK).tobytes())
        return digest.hexdigest()


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
    """What was decided about a picture. `chosen` is a face's number; `area` the share of the picture that was kept."""

    faces: tuple[FaceScore, ...]
    outcome: Outcome
    chosen: int | None
    reason: str
    area: float | None = None

    def __post_init__(self) -> None:
        nobody = self.outcome in (Outcome.EMPTY, Outcome.SKIPPED)
        marked = [face.index for face in self.faces if face.chosen]
        if nobody != (self.chosen is None) or marked != ([] if self.chosen is None else [self.chosen]):
            raise InternalError(f"decision {self.outcome.value}: chosen {self.chosen}, but marked {marked}")

    def to_json(self) -> dict[str, object]:
        """The report's form: {"faces": [{"index", "box", "similarity", "chosen"}], "decision", "reason", "area"}."""
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
            "decision": self.outcome.value,
            "reason": self.reason,
            "area": None if self.area is None else round(self.area, 6),
        }
