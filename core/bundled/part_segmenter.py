"""Face, hair, body and background of everyone in a picture, from the bundled networks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import cv2
import numpy as np

from ..parts.part_map import SCHEMES, PartMap
from ..progress import check_interrupted
from .crown import look_at_crown
from .findings import check_picture
from .found_faces import FoundFace, find_faces
from .hair import find_face, find_hair
from .head_view import view_head
from .install import require
from .person_segmenter import (
    anyone_probability,
    head_place,
    highest_of_others,
    people_probabilities,
    work_picture,
)
from .registry import FACE_DETECTOR, FACE_MESH, POSE, SELFIE, combined_identity

_FILES = (FACE_DETECTOR, FACE_MESH, POSE, SELFIE)
_METHOD = 4  # raise when the same files would give other maps
_SCHEME = "maskloss_4"


class BundledPartSegmenter:
    """Implements PartSegmenter. Raises ModelMissingError when the models are not installed; they load when used."""

    name = "bundled"
    parallel = True
    approximate = True

    def __init__(self) -> None:
        for file in _FILES:
            require(file)
        self.identity = f"bundled-parts-{_METHOD}-{combined_identity(_FILES)}"

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        """Parts of an upright uint8 RGB picture, uint8 labels of scheme `maskloss_4`.

        Without a face in the picture whoever is there is all body.
        """
        check_picture(rgb_HWC)
        small_HWC, scale = work_picture(rgb_HWC)
        faces = find_faces(rgb_HWC)
        soft_maps = _find_parts(rgb_HWC, small_HWC, scale, faces) if faces else {"Body": anyone_probability(small_HWC)}
        scheme = SCHEMES[_SCHEME]
        height, width = rgb_HWC.shape[:2]
        label_HW = np.zeros((height, width), np.uint8)
        for name, soft_HW in soft_maps.items():
            check_interrupted()
            # One map at a time on the full grid: a large photograph's float maps are 100 MB each.
            inside_HW = cv2.resize(soft_HW, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5
            label_HW[inside_HW] = scheme.class_id(name)
        return PartMap(label_HW, scheme, approximate=True)


def _find_parts(
    rgb_HWC: np.ndarray, small_HWC: np.ndarray, scale: float, faces: Sequence[FoundFace]
) -> dict[str, np.ndarray]:
    """Soft maps of body, hair and face on the small grid, in the order in which they are painted."""
    size = (small_HWC.shape[1], small_HWC.shape[0])
    people = people_probabilities(
        rgb_HWC, [head_place(face.detection.box, face.detection.keypoints_K2) for face in faces]
    )
    body_HW = reduce(np.maximum, people)
    hair_HW = np.zeros_like(body_HW)
    face_HW = np.zeros_like(body_HW)
    others = highest_of_others(people) if len(people) > 1 else [np.zeros_like(body_HW)]
    for face, person_HW, others_HW in zip(faces, people, others, strict=True):
        check_interrupted()
        own_HW = np.where(person_HW >= others_HW, person_HW, np.float32(0))
        points_N2, oval_N2 = face.mesh.points_N2 * scale, face.mesh.oval_N2 * scale
        view = view_head(small_HWC, points_N2, oval_N2, own_HW, others_HW)
        crown = look_at_crown(view)
        own_hair_HW = find_hair(view, crown)
        free_HW = (others_HW <= 0.5) | (own_HW > 0.5)
        hair_HW = np.maximum(hair_HW, view.to_picture(own_hair_HW, size) * free_HW)
        face_HW = np.maximum(face_HW, view.to_picture(find_face(view, own_hair_HW, crown), size) * free_HW)
    return {"Body": body_HW, "Hair": hair_HW, "Face": face_HW}
