"""One mask per face through segment-anything, prompted by where the face is; and what else it is pointed at. `_HW` is
the pixel grid.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..bundled.nets import sigmoid
from ..errors import UserError
from ..model_runs import convert_model_errors
from ..people.faces import Face
from ..people.instances import PersonMask
from ..people.regions import Pointing
from ..resample import shrink_then_enlarge
from .model_files import ModelSource, file_digest, missing_library, unusable
from .sam_architecture import build_sam, read_sizes, relative_of, without_prefix
from .torch_models import lent_device, read_state

SAM = ModelSource(
    purpose="masks of people with segment-anything",
    example="models/sams/sam_vit_b_01ec64.pth",
    folder="models/sams",
    source="facebookresearch/segment-anything on GitHub",
    licence="Apache-2.0",
)

_METHOD = 1  # raise when the same file would give other masks
# A person around a face, in sides of the face's box, measured from its middle along and across the body.
_ABOVE, _BELOW, _BESIDE, _CHEST = 1.3, 8.0, 2.2, 1.6
_MIN_FACE_COVER = 0.5


@dataclass(frozen=True, eq=False)
class Prompt:
    """What segment-anything is told of one person, in pixels: a box, points on them, points on others."""

    box_4: np.ndarray
    on_N2: np.ndarray
    off_N2: np.ndarray


def prompt_for(faces: Sequence[Face], index: int, size: tuple[int, int]) -> Prompt:
    """The prompt for the person with face `index` in a picture of `size` (width, height).

    The body is looked for where the face's eyes-to-mouth direction points, in quarter turns: heads tilt, people stand.
    """
    face = faces[index]
    x0, y0, x1, y1 = face.box
    centre, side = np.array([(x0 + x1) / 2, (y0 + y1) / 2]), max(x1 - x0, y1 - y0)
    down = _down_direction(face)
    across = np.abs(down[::-1]) * _BESIDE * side
    ends = np.stack([centre - down * _ABOVE * side, centre + down * _BELOW * side])
    limit = np.array(size, np.float64) - 1
    low, high = np.clip(ends.min(0) - across, 0, limit), np.clip(ends.max(0) + across, 0, limit)
    on = [np.clip(centre, 0, limit)]
    chest = centre + down * _CHEST * side
    if (chest >= 0).all() and (chest <= limit).all() and not any(_inside(chest, other.box) for other in faces):
        on.append(chest)
    others = [
        np.array([(other.box[0] + other.box[2]) / 2, (other.box[1] + other.box[3]) / 2])
        for other in faces
        if other.index != face.index
    ]
    off = [point for point in others if (point >= low).all() and (point <= high).all()]
    return Prompt(np.concatenate([low, high]), np.stack(on), np.array(off, np.float64).reshape(-1, 2))


def choose_mask(logits_MHW: np.ndarray, scores_M: np.ndarray, prompt: Prompt, face_box: np.ndarray) -> int | None:
    """Which of segment-anything's proposals is the person; None when none covers half of the face.

    Those without somebody else's face come first, then those that hold all points that were given as the person's
    (a face alone is a good object too), then the score decides.
    """
    x0, y0, x1, y1 = np.round(face_box).astype(int)
    ranked: list[tuple[bool, bool, float, int]] = []
    for index, logits_HW in enumerate(logits_MHW):
        window_hw = logits_HW[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] > 0
        if window_hw.size and window_hw.mean() >= _MIN_FACE_COVER:
            alone = not any(logits_HW[y, x] > 0 for x, y in prompt.off_N2.astype(int))
            whole = all(logits_HW[y, x] > 0 for x, y in prompt.on_N2.astype(int))
            ranked.append((alone, whole, float(scores_M[index]), index))
    return max(ranked)[3] if ranked else None


class SamPersonSegmenter:
    """Implements PersonSegmenter: one mask for each face for which segment-anything proposes one.

    path: a checkpoint (.pth, .pt, .safetensors); which of vit_b, vit_l, vit_h it is shows in its tensors. It loads when
    first used and is on the GPU only while a picture is segmented.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"segment-anything {path.name}"

    @property
    def identity(self) -> str:
        """Changes with the checkpoint."""
        return f"sam-{_METHOD}-{file_digest(self._path)}"

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        """Masks of the people with these faces, of the picture's size, each with its face's number.

        Raises UserError when the file is no checkpoint of segment-anything or the library is missing, ModelRunError
        when the net fails on this picture.
        """
        if not faces:
            return []
        size = (rgb_HWC.shape[1], rgb_HWC.shape[0])
        masks: list[PersonMask] = []
        with self._seen(rgb_HWC) as (predictor, ratio):
            for index, face in enumerate(faces):
                small_HW = self._person(predictor, prompt_for(faces, index, size), face, ratio)
                if small_HW is not None:
                    masks.append(PersonMask(shrink_then_enlarge(small_HW, size), face.index))
        return masks

    def propose(self, rgb_HWC: np.ndarray, pointing: Pointing) -> np.ndarray:
        """Implements RegionSegmenter: what segment-anything takes the points and the box for, of several answers to one
        point the surest. Errors as `segment`."""
        points = np.array([*pointing.on, *pointing.off], np.float64).reshape(-1, 2)
        labels = np.array([1] * len(pointing.on) + [0] * len(pointing.off))
        with self._seen(rgb_HWC) as (predictor, ratio):
            logits_MHW, scores_M, _ = predictor.predict(
                point_coords=points * ratio if len(points) else None,
                point_labels=labels if len(points) else None,
                box=None if pointing.box is None else np.array(pointing.box) * np.tile(ratio, 2),
                multimask_output=len(points) == 1 and pointing.box is None,
                return_logits=True,
            )
        small_HW = sigmoid(logits_MHW[int(np.argmax(scores_M))])
        return shrink_then_enlarge(small_HW, (rgb_HWC.shape[1], rgb_HWC.shape[0])) > 0.5

    @contextmanager
    def _seen(self, rgb_HWC: np.ndarray) -> Generator[tuple[Any, np.ndarray]]:
        """The predictor with the picture in it, and how many of its pixels (x, y) a pixel of the picture is."""
        height, width = rgb_HWC.shape[:2]
        predictor = self._predictor
        # The net sees no more than its own side; larger masks on the way would only be large.
        scale = min(1.0, predictor.transform.target_length / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        with convert_model_errors(self.name, rgb_HWC), lent_device(predictor.model):
            predictor.set_image(np.ascontiguousarray(shrink_then_enlarge(rgb_HWC, size)))
            yield predictor, np.array([size[0] / width, size[1] / height])
            predictor.reset_image()

    def _person(self, predictor: Any, prompt: Prompt, face: Face, ratio: np.ndarray) -> np.ndarray | None:
        """The person's probability on the small picture, float32; None when no proposal covers the face."""
        small = Prompt(prompt.box_4 * np.tile(ratio, 2), prompt.on_N2 * ratio, prompt.off_N2 * ratio)
        labels = np.array([1] * len(small.on_N2) + [0] * len(small.off_N2))
        logits_MHW, scores_M, _ = predictor.predict(
            point_coords=np.concatenate([small.on_N2, small.off_N2]),
            point_labels=labels,
            box=small.box_4,
            multimask_output=True,
            return_logits=True,
        )
        chosen = choose_mask(logits_MHW, scores_M, small, np.array(face.box) * np.tile(ratio, 2))
        return None if chosen is None else sigmoid(logits_MHW[chosen])

    @cached_property
    def _predictor(self) -> Any:
        state = without_prefix(read_state(self._path, SAM))
        if relative := relative_of(state):
            advice = "for SAM 3 there is SAM 3 Segmenters" if relative == "SAM 3" else "only segment-anything 1 is read"
            raise unusable(self._path, f"it is {relative}, another net: {advice} (vit_b, vit_l, vit_h)", SAM)
        try:
            from segment_anything import SamPredictor

            return SamPredictor(build_sam(read_sizes(state), state))
        except ImportError as error:
            raise missing_library("segment-anything", f"The model {self._path.name}", error) from error
        except UserError as error:
            raise unusable(self._path, str(error), SAM) from error


def _down_direction(face: Face) -> np.ndarray:
    """The direction from the eyes to the mouth, to the nearest quarter turn; straight down when they are unknown."""
    eyes, mouth = face.keypoints_K2[:2].mean(axis=0), face.keypoints_K2[3]
    along = mouth - eyes
    if not np.isfinite(along).all() or not along.any():
        return np.array([0.0, 1.0])
    main = int(np.argmax(np.abs(along)))
    return np.eye(2)[main] * np.sign(along[main])


def _inside(point: np.ndarray, box: tuple[float, float, float, float]) -> bool:
    return bool(box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3])
