"""One mask per face: the pose net's, moved a little by the person/background net where that one is sure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from ..people.faces import Face
from ..people.instances import PersonMask
from ..resample import limit_size, shrink_then_enlarge
from .face_mesh import square_to_input
from .findings import Findings, PackedMap
from .install import require
from .nets import load_net, sigmoid
from .pose_mask import HeadPlace, find_everyone
from .registry import POSE, SELFIE, combined_identity

_FILES = (POSE, SELFIE)
_METHOD = 2  # raise when the same files would give other masks
_WORK_PX = 1024
_SELFIE_PX = 256
_SELFIE_OUTPUTS = ("activation_10",)
_SELFIE_SIDE, _SELFIE_DOWN = 7.5, 2.4  # the region around a person, in sides of the face
# Added to the pose logit by how far the two views say person, taken off where neither does. Judged by eye on 29 people:
# a skirt and a pair of jeans come whole, and a sofa that one view takes for a person stays out.
_PERSON_LOGIT, _BACKGROUND_LOGIT = 3.0, 1.0
_FARTHER_LOGIT = 0.1  # per side of the face away from it: where two are as sure, the nearer head has it

_MOST_BYTES = 48 << 20  # some thousand people

_found: Findings[tuple[PackedMap, ...]] = Findings(
    _MOST_BYTES, lambda maps: sum(len(each.content) + 200 for each in maps) + 200
)


class BundledPersonSegmenter:
    """Implements PersonSegmenter. Raises ModelMissingError when the models are not installed; they load when used."""

    name = "bundled"
    parallel = True

    def __init__(self) -> None:
        for file in _FILES:
            require(file)
        self.identity = f"bundled-pose-{_METHOD}-{combined_identity(_FILES)}"

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        """One mask per face, in the order of `faces`, of the picture's size; they meet, but hardly overlap."""
        heads = [head_place(face.box, face.keypoints_K2) for face in faces]
        height, width = rgb_HWC.shape[:2]
        return [
            PersonMask(cv2.resize(small_HW, (width, height), interpolation=cv2.INTER_LINEAR), face.index)
            for small_HW, face in zip(people_probabilities(rgb_HWC, heads), faces, strict=True)
        ]


def head_place(box: tuple[float, float, float, float], keypoints_K2: np.ndarray) -> HeadPlace:
    """The place of a face with this box (x0, y0, x1, y1) and these keypoints (eyes, nose, mouth first)."""
    x0, y0, x1, y1 = box
    right_eye, left_eye, _, mouth = np.asarray(keypoints_K2[:4], np.float64)
    return HeadPlace((right_eye + left_eye) / 4 + mouth / 2, max(x1 - x0, y1 - y0))


def work_picture(rgb_HWC: np.ndarray) -> tuple[np.ndarray, float]:
    """The picture at no more than 1024 pixels, on which everything but the faces is looked for, and its scale."""
    return limit_size(rgb_HWC, _WORK_PX)


def people_probabilities(rgb_HWC: np.ndarray, heads: Sequence[HeadPlace]) -> tuple[np.ndarray, ...]:
    """How surely a pixel is each person, float32 in [0, 1] in steps of 1/255, on the grid of `work_picture`."""
    places = np.array([[*head.centre, head.side_px] for head in heads], np.float64)
    maps = _found.get(
        rgb_HWC, lambda: tuple(PackedMap.pack(soft_HW) for soft_HW in _find_people(rgb_HWC, heads)), places.tobytes()
    )
    return tuple(each.unpack() for each in maps)


def anyone_probability(small_HWC: np.ndarray) -> np.ndarray:
    """Probability that a pixel is any person, float32 HW in [0, 1], by the person/background net alone."""
    height, width = small_HWC.shape[:2]
    return shrink_then_enlarge(_run_selfie_net(small_HWC), (width, height))


def _find_people(rgb_HWC: np.ndarray, heads: Sequence[HeadPlace]) -> tuple[np.ndarray, ...]:
    if not heads:
        return ()
    small_HWC, scale = work_picture(rgb_HWC)
    small_heads = [HeadPlace(head.centre * scale, head.side_px * scale) for head in heads]
    whole_HW = anyone_probability(small_HWC)
    logits: list[np.ndarray] = []
    for head, logit_HW in zip(small_heads, find_everyone(small_HWC, small_heads), strict=True):
        near_HW = _run_selfie_net_near(small_HWC, head)
        logit_HW += _PERSON_LOGIT * (whole_HW + near_HW) / 2
        logit_HW -= _BACKGROUND_LOGIT * (1 - np.maximum(whole_HW, near_HW))
        logit_HW -= _FARTHER_LOGIT * np.minimum(head.distance((logit_HW.shape[1], logit_HW.shape[0])), 10.0)
        logits.append(logit_HW)
    if len(logits) == 1:
        return (sigmoid(logits[0]),)
    return tuple(map(sigmoid, map(_limit_by_others, logits, highest_of_others(logits))))


def highest_of_others(maps: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """For each of two or more maps (float32 HW): the highest value that any of the others has at each pixel."""
    first_HW, second_HW = np.maximum(maps[0], maps[1]), np.minimum(maps[0], maps[1])
    for map_HW in maps[2:]:
        second_HW = np.maximum(second_HW, np.minimum(first_HW, map_HW))
        first_HW = np.maximum(first_HW, map_HW)
    # Where two are equally high the second is as high as the first.
    return (np.where(map_HW == first_HW, second_HW, first_HW) for map_HW in maps)


def _limit_by_others(logit_HW: np.ndarray, others_HW: np.ndarray) -> np.ndarray:
    """A person's logits, below zero where someone else's are higher: a contested pixel is one person's only."""
    lead_HW = logit_HW - others_HW
    return np.where(lead_HW > 0, logit_HW, np.minimum(logit_HW, lead_HW))


def _run_selfie_net_near(small_HWC: np.ndarray, head: HeadPlace) -> np.ndarray:
    """The person/background net in a region around one person, on the picture's grid; zero outside the region."""
    centre = head.centre + np.array([0.0, _SELFIE_DOWN * head.side_px])
    forward_23 = square_to_input(centre, _SELFIE_SIDE * head.side_px, 0.0, _SELFIE_PX)
    region_HWC = cv2.warpAffine(small_HWC, forward_23, (_SELFIE_PX, _SELFIE_PX), flags=cv2.INTER_LINEAR)
    size = (small_HWC.shape[1], small_HWC.shape[0])
    return cv2.warpAffine(_run_selfie_net(region_HWC), cv2.invertAffineTransform(forward_23), size)


def _run_selfie_net(picture_HWC: np.ndarray) -> np.ndarray:
    input_HWC = shrink_then_enlarge(picture_HWC, (_SELFIE_PX, _SELFIE_PX))
    (mask,) = load_net(SELFIE, _SELFIE_OUTPUTS).run(input_HWC[None].astype(np.float32) / 255.0)
    return mask.reshape(_SELFIE_PX, _SELFIE_PX)
