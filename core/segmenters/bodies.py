"""Bodies from a person segmenter for parts that miss some: what its masks cover and the parts call background."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..bundled.part_segmenter import BundledPartSegmenter
from ..bundled.person_segmenter import BundledPersonSegmenter
from ..bundled.recognizer import BundledFaceRecognizer
from ..errors import SettingError
from ..parts.part_map import PartMap, PartSegmenter
from ..people.faces import FaceRecognizer
from ..people.instances import PersonSegmenter
from .face_parser import HeadsOnPeople

PERSON_CLASS = "Person"


def with_bodies(parts: PartSegmenter, people: PersonSegmenter) -> PartSegmenter:
    """`parts` whose bodies are completed by `people`; of a face-only parser they are all by `people`.

    SettingError when the bodies of `parts` come from the same models already, so that nothing would change;
    ModelMissingError when `people` needs faces and the bundled models that find them are not installed.
    """
    if isinstance(parts, BundledPartSegmenter) and isinstance(people, BundledPersonSegmenter):
        raise _nothing_new(parts, people)
    if isinstance(parts, HeadsOnPeople):
        if parts.people_identity == people.identity:
            raise _nothing_new(parts, people)
        return parts.on(people)
    needs_faces = getattr(people, "needs_faces", True)
    return PartsWithBodies(parts, people, BundledFaceRecognizer() if needs_faces else None)


class PartsWithBodies:
    """Implements PartSegmenter: the parts' own classes, and `Person` for the rest of everyone, which counts as body.

    faces: finds the faces for person segmenters that know people by them; None for those that do not.
    """

    def __init__(self, parts: PartSegmenter, people: PersonSegmenter, faces: FaceRecognizer | None) -> None:
        self._parts, self._people, self._faces = parts, people, faces
        self.name = f"{parts.name} with bodies by {people.name}"
        self.approximate = parts.approximate
        self.forbids_biometrics = bool(getattr(parts, "forbids_biometrics", False))
        self.parallel = all(getattr(model, "parallel", False) for model in (parts, people, *([faces] if faces else [])))

    @property
    def identity(self) -> str:
        """Changes with any of them."""
        faces = "" if self._faces is None else self._faces.identity
        return f"bodies-1|{self._parts.identity}|{self._people.identity}|{faces}"

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        """Parts of an upright uint8 RGB picture in the parts' scheme with the class `Person` after its last."""
        parts = self._parts.segment(rgb_HWC)
        faces = [] if self._faces is None else self._faces.detect(rgb_HWC)
        masks = self._people.segment(rgb_HWC, faces) if faces or self._faces is None else []
        scheme = replace(parts.scheme, names=(*parts.scheme.names, PERSON_CLASS))
        label_HW = parts.label_HW.copy()
        for mask in masks:
            label_HW[(parts.label_HW == 0) & (mask.probability_HW > 0.5)] = scheme.class_id(PERSON_CLASS)
        return PartMap(label_HW, scheme, parts.approximate)


def _nothing_new(parts: PartSegmenter, people: PersonSegmenter) -> SettingError:
    return SettingError(
        f"The bodies of the part segmenter {parts.name!r} come from the person segmenter {people.name!r} already; "
        "disconnect person_segmenter, or connect another one."
    )
