"""One mask per face: the pose net's, moved a little by the person/background net where that one is sure."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..people.faces import Face
from ..people.instances import PersonMask
from .face_mesh import square_to_input
from .found_faces import Recent
from .install import require
from .nets import load_net, sigmoid
from .pose_mask import HeadPlace, find_person
from .registry import POSE, SELFIE, combined_identity

_FILES = (POSE, SELFIE)
_METHOD = 1  # raise when the same files would give other masks
_WORK_PX = 1024
_SELFIE_PX = 256
_SELFIE_OUTPUT = "activation_10"
_SELFIE_SIDE, _SELFIE_DOWN = 7.5, 2.4  # the region around a person, in sides of the face
# Added to the pose logit where both views say person, taken off where neither does. Judged by eye on 28 people:
# a skirt and a pair of jeans come whole, and a sofa that one view takes for a person stays out.
_PERSON_LOGIT, _BACKGROUND_LOGIT = 3.0, 1.0

_recent: Recent[tuple[np.ndarray, ...]] = Recent()


class BundledPersonSegmenter:
    """Implements PersonSegmenter. Raises ModelMissingError when the models are not installed; they load when used."""

    name = "bundled"

    def __init__(self) -> None:
        for file in _FILES:
            require(file)
        self.identity = f"bundled-pose-{_METHOD}-{combined_identity(_FILES)}"

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        """One mask per face, in the order of `faces`, of the picture's size; masks of neighbours may overlap."""
        heads = [head_place(face.box) for face in faces]
        height, width = rgb_HWC.shape[:2]
        return [
            PersonMask(cv2.resize(small_HW, (width, height), interpolation=cv2.INTER_LINEAR), face.index)
            for small_HW, face in zip(people_probabilities(rgb_HWC, heads), faces, strict=True)
        ]


def head_place(box: tuple[float, float, float, float]) -> HeadPlace:
    """The place of a face with this box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    return HeadPlace(np.array([(x0 + x1) / 2, (y0 + y1) / 2]), max(x1 - x0, y1 - y0))


def work_picture(rgb_HWC: np.ndarray) -> tuple[np.ndarray, float]:
    """The picture at no more than 1024 pixels, on which everything but the faces is looked for, and its scale."""
    scale = min(1.0, _WORK_PX / max(rgb_HWC.shape[:2]))
    if scale == 1.0:
        return rgb_HWC, 1.0
    size = (max(1, round(rgb_HWC.shape[1] * scale)), max(1, round(rgb_HWC.shape[0] * scale)))
    return cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA), scale


def people_probabilities(rgb_HWC: np.ndarray, heads: Sequence[HeadPlace]) -> tuple[np.ndarray, ...]:
    """How surely a pixel is each person, float32 in [0, 1], on the grid of `work_picture`."""
    places = np.array([[*head.centre, head.side_px] for head in heads], np.float64)
    return _recent.get(rgb_HWC, lambda: _people(rgb_HWC, heads), places.tobytes())


def anyone_probability(small_HWC: np.ndarray) -> np.ndarray:
    """How surely a pixel is a person, whoever it is, float32 HW in [0, 1], by the person/background net alone."""
    height, width = small_HWC.shape[:2]
    return cv2.resize(_selfie(small_HWC), (width, height), interpolation=cv2.INTER_LINEAR)


def _people(rgb_HWC: np.ndarray, heads: Sequence[HeadPlace]) -> tuple[np.ndarray, ...]:
    if not heads:
        return ()
    small_HWC, scale = work_picture(rgb_HWC)
    small_heads = [HeadPlace(head.centre * scale, head.side_px * scale) for head in heads]
    whole_HW = anyone_probability(small_HWC)
    results: list[np.ndarray] = []
    for index, head in enumerate(small_heads):
        logit_HW = find_person(small_HWC, head, small_heads[:index] + small_heads[index + 1 :])
        near_HW = _selfie_near(small_HWC, head)
        logit_HW += _PERSON_LOGIT * np.minimum(whole_HW, near_HW)
        logit_HW -= _BACKGROUND_LOGIT * (1 - np.maximum(whole_HW, near_HW))
        results.append(sigmoid(logit_HW))
    return tuple(results)


def _selfie_near(small_HWC: np.ndarray, head: HeadPlace) -> np.ndarray:
    """The person/background net in a region around one person, on the picture's grid; zero outside the region."""
    centre = head.centre + np.array([0.0, _SELFIE_DOWN * head.side_px])
    forward_23 = square_to_input(centre, _SELFIE_SIDE * head.side_px, 0.0, _SELFIE_PX)
    region_HWC = cv2.warpAffine(small_HWC, forward_23, (_SELFIE_PX, _SELFIE_PX), flags=cv2.INTER_LINEAR)
    size = (small_HWC.shape[1], small_HWC.shape[0])
    return cv2.warpAffine(_selfie(region_HWC), cv2.invertAffineTransform(forward_23), size)


def _selfie(picture_HWC: np.ndarray) -> np.ndarray:
    input_HWC = cv2.resize(picture_HWC, (_SELFIE_PX, _SELFIE_PX), interpolation=cv2.INTER_AREA)
    (mask,) = load_net(SELFIE).run(input_HWC.astype(np.float32) / 255.0, (_SELFIE_OUTPUT,))
    return mask.reshape(_SELFIE_PX, _SELFIE_PX)
