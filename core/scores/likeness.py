"""How much the faces of a picture are like one person's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import SettingError
from ..people.faces import Face, FaceRecognizer
from ..people.identity import Identity, face_similarity

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Likeness:
    """The faces of one picture, left to right, beside one person.

    boxes: (x0, y0, x1, y1) in pixels. similarities: of each face to the person, as the recogniser measures it; more is
    more alike.
    """

    boxes: tuple[Box, ...]
    similarities: tuple[float, ...]

    @property
    def faces(self) -> int:
        """How many faces were found."""
        return len(self.boxes)

    @property
    def best(self) -> float | None:
        """The similarity of the face that is most like the person; None where no face was found, which is no zero."""
        return max(self.similarities, default=None)


def measure_likeness(rgb_HWC: np.ndarray, recognizer: FaceRecognizer, identity: Identity) -> Likeness:
    """Find the faces of a uint8 RGB picture and compare each with `identity`.

    SettingError when the identity was made by another recogniser.
    """
    if identity.recognizer != recognizer.identity:
        raise SettingError(
            f"The reference faces were read by {identity.recognizer}, but the pictures by {recognizer.identity}: use "
            "the same face recognizer for both."
        )
    faces: list[Face] = recognizer.detect(rgb_HWC)
    return Likeness(
        tuple(face.box for face in faces),
        tuple(face_similarity(recognizer, identity, face.embedding) for face in faces),
    )
