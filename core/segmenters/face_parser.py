"""A parser that knows heads alone, made to serve whole photographs: each face is parsed apart, people are the body.

`_HW` is the picture's pixel grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..parts.part_map import PartMap, PartScheme, PartSegmenter
from ..people.faces import Face, FaceRecognizer
from ..people.instances import PersonMask, PersonSegmenter

# These parsers were trained on square portraits in which the face takes up half of the side.
_CROP_SIDES = 2.0
_BODY_CLASS = "cloth"


class FaceParser(PartSegmenter, Protocol):
    """A PartSegmenter of one face-only scheme."""

    @property
    def scheme(self) -> PartScheme:
        """Holds the class `cloth`, which stands for all of the body."""
        ...


class HeadsOnPeople:
    """Implements PartSegmenter: `parser` on a square around each face, `people` for everything below.

    What the person masks cover and the parser does not name is `cloth`. Hair that reaches out of the square counts as
    `cloth` too, hence approximate.
    """

    approximate = True

    def __init__(self, parser: FaceParser, faces: FaceRecognizer, people: PersonSegmenter) -> None:
        self._parser, self._faces, self._people = parser, faces, people
        self.name = f"{parser.name} with bodies by {people.name}"
        self.notes: tuple[str, ...] = tuple(getattr(parser, "notes", ()))

    @property
    def identity(self) -> str:
        """Changes with any of the three."""
        return f"heads-1|{self._parser.identity}|{self._faces.identity}|{self.people_identity}"

    @property
    def people_identity(self) -> str:
        """Which person segmenter the bodies come from."""
        return self._people.identity

    def on(self, people: PersonSegmenter) -> HeadsOnPeople:
        """The same heads on the bodies of another person segmenter."""
        return HeadsOnPeople(self._parser, self._faces, people)

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        """Parts of an upright uint8 RGB picture in the parser's scheme; without a face there is nobody in it."""
        faces = self._faces.detect(rgb_HWC)
        masks = self._people.segment(rgb_HWC, faces) if faces else []
        scheme = self._parser.scheme
        label_HW = np.zeros(rgb_HWC.shape[:2], np.uint8)
        best_HW = np.full(rgb_HWC.shape[:2], 0.5, np.float32)
        for mask in masks:
            np.maximum(best_HW, mask.probability_HW, out=best_HW)
            label_HW[mask.probability_HW > 0.5] = scheme.class_id(_BODY_CLASS)
        for face in faces:
            self._paint_head(rgb_HWC, label_HW, face, _theirs(face, masks, best_HW))
        return PartMap(label_HW, scheme, approximate=True)

    def _paint_head(self, rgb_HWC: np.ndarray, label_HW: np.ndarray, face: Face, theirs_HW: np.ndarray | None) -> None:
        """Parse the square around one face and write what it names, but not over what is somebody else's."""
        height, width = label_HW.shape
        left, top, side = _square(face)
        # Beyond the picture's edge its last pixels are repeated, so that the face stays in the middle of the square.
        rows, columns = np.clip(np.arange(side) + top, 0, height - 1), np.clip(np.arange(side) + left, 0, width - 1)
        head_hw = self._parser.segment(rgb_HWC[rows[:, None], columns[None, :]]).label_HW
        y0, y1, x0, x1 = max(top, 0), min(top + side, height), max(left, 0), min(left + side, width)
        if y1 <= y0 or x1 <= x0:
            return
        head_hw = head_hw[y0 - top : y1 - top, x0 - left : x1 - left]
        named_hw = head_hw != 0
        if theirs_HW is not None:
            named_hw = named_hw & ~theirs_HW[y0:y1, x0:x1]
        label_HW[y0:y1, x0:x1][named_hw] = head_hw[named_hw]


def _square(face: Face) -> tuple[int, int, int]:
    """Left, top and side, in pixels, of the portrait around a face."""
    x0, y0, x1, y1 = face.box
    side = max(8, round(_CROP_SIDES * max(x1 - x0, y1 - y0)))
    return round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2), side


def _theirs(face: Face, masks: Sequence[PersonMask], best_HW: np.ndarray) -> np.ndarray | None:
    """Where somebody else is more probable than the person with this face; None when their mask is not known."""
    own = [mask.probability_HW for mask in masks if mask.face_index == face.index]
    return None if not own else (best_HW > 0.5) & (own[0] < best_HW)
