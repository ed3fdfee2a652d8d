"""Everyone's mask through a YOLO segmentation net exported to ONNX, run by onnxruntime alone.

Legend: `_HW` is the picture's pixel grid, `_hw` the prototypes' grid, N people, M mask coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..bundled.nets import sigmoid
from ..errors import UserError
from ..model_runs import convert_model_errors
from ..people.faces import Face
from ..people.instances import PersonMask
from ..resample import shrink_then_enlarge
from .model_files import ModelSource, file_digest, unusable
from .onnx_session import open_session
from .yolo_layouts import YoloMetadata, find_people, read_metadata

YOLO = ModelSource(
    purpose="masks of people with YOLO-seg",
    example="models/ultralytics/segm/yolo11m-seg.onnx",
    folder="models/ultralytics/segm",
    source="`yolo export model=yolo11m-seg.pt format=onnx` of ultralytics, done elsewhere",
    licence="AGPL-3.0 for ultralytics' own weights",
)

_METHOD = 3  # raise when the same file would give other masks
_MAX_PEOPLE = 50  # each has a mask of the picture's size
_DEFAULT_SIDE = 640
_GREY = 114  # what these nets were trained to see around a picture
_INPUT_TYPES: dict[str, type[np.floating[Any]]] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the net's input, in pixels of that input: resized to width x height, at left, top."""

    input_size: tuple[int, int]
    left: int
    top: int
    width: int
    height: int

    @staticmethod
    def fit(size: tuple[int, int], input_size: tuple[int, int], stride: int | None = None) -> Letterbox:
        """Whole and centred, for a picture of `size`; both (width, height).

        stride: of a net whose input may be of any multiple of it; whole strides of grey are then left out, as
        ultralytics does.
        """
        scale = min(input_size[0] / size[0], input_size[1] / size[1])
        width, height = (max(1, round(side * scale)) for side in size)
        if stride is not None:
            input_size = (width + -width % stride, height + -height % stride)
        return Letterbox(input_size, (input_size[0] - width) // 2, (input_size[1] - height) // 2, width, height)

    def apply(self, rgb_HWC: np.ndarray) -> np.ndarray:
        """The net's input picture, uint8, grey around.

        Pixels of a picture that shrinks are sampled, not averaged: ultralytics trains on such pictures and predicts on
        them. Averaged ones are smoother than anything that the net has seen, and give other masks than `predict`.
        """
        inner = cv2.resize(rgb_HWC, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        canvas = np.full((self.input_size[1], self.input_size[0], 3), _GREY, np.uint8)
        canvas[self.top : self.top + self.height, self.left : self.left + self.width] = inner
        return canvas

    def undo(self, input_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """What lies over the picture, taken out of a map on the net's input and brought to the picture's size."""
        inner = input_HW[self.top : self.top + self.height, self.left : self.left + self.width]
        return shrink_then_enlarge(inner, size)


class YoloPersonSegmenter:
    """Implements PersonSegmenter: one mask for each person found, whoever's face it has.

    path: an .onnx file; it loads when first used. A net that names its classes must have some that are people.
    """

    notes: tuple[str, ...] = ()
    needs_faces = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"YOLO-seg {path.name}"

    @property
    def identity(self) -> str:
        """Changes with the file."""
        return f"yolo-{_METHOD}-{file_digest(self._path)}"

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        """Masks of the picture's size, the surest person first; `faces` does not matter.

        Raises UserError when the file does not load, has other inputs or outputs, or knows no people, ModelRunError
        when the net fails on this picture.
        """
        size = (rgb_HWC.shape[1], rgb_HWC.shape[0])
        with convert_model_errors(self.name, rgb_HWC):
            box = self._letterbox(size)
            picture_CHW = (box.apply(rgb_HWC).transpose(2, 0, 1) / np.float32(255)).astype(self._input_type)
            # A file exported for several pictures at once takes no fewer: this one stands for all of them.
            blob = np.repeat(picture_CHW[None], self._batch, axis=0)
            outputs = self._session.run(None, {self._session.get_inputs()[0].name: blob})
            try:
                people = find_people(outputs, self._metadata, box.input_size, _MAX_PEOPLE)
            except UserError as error:
                raise unusable(self._path, str(error), YOLO) from error
            probabilities = (
                _probability(box_4, coefficients_M, people.protos_Mhw, box, size)
                for box_4, coefficients_M in zip(people.boxes_N4, people.coefficients_NM, strict=True)
            )
            # Nobody is where the mask leaves the whole box empty; ultralytics drops these too.
            return [PersonMask(each_HW) for each_HW in probabilities if (each_HW > 0.5).any()]

    def _letterbox(self, size: tuple[int, int]) -> Letterbox:
        """The net's own input; where it takes any, that of its export, without the grey that no stride needs."""
        height, width = self._session.get_inputs()[0].shape[2:]
        if isinstance(width, int) and isinstance(height, int):
            return Letterbox.fit(size, (width, height))
        exported = self._metadata.size or (_DEFAULT_SIDE, _DEFAULT_SIDE)
        own = (width if isinstance(width, int) else exported[0], height if isinstance(height, int) else exported[1])
        return Letterbox.fit(size, own, self._metadata.stride)

    @cached_property
    def _session(self) -> Any:
        session = open_session(self._path, YOLO)
        inputs = session.get_inputs()
        shapes, types = [tuple(each.shape) for each in inputs], [each.type for each in inputs]
        if len(shapes) != 1 or len(shapes[0]) != 4 or (shapes[0][1] not in (3, None) and isinstance(shapes[0][1], int)):
            raise unusable(self._path, f"its inputs have the shapes {shapes}, expected one (1, 3, height, width)", YOLO)
        if types[0] not in _INPUT_TYPES:
            raise unusable(self._path, f"its input is a {types[0]}, expected {' or '.join(_INPUT_TYPES)}", YOLO)
        return session

    @cached_property
    def _metadata(self) -> YoloMetadata:
        return read_metadata(self._session.get_modelmeta().custom_metadata_map)

    @property
    def _input_type(self) -> type[np.floating[Any]]:
        return _INPUT_TYPES[self._session.get_inputs()[0].type]

    @property
    def _batch(self) -> int:
        pictures = self._session.get_inputs()[0].shape[0]
        return pictures if isinstance(pictures, int) else 1


def _probability(
    box_4: np.ndarray, coefficients_M: np.ndarray, protos_Mhw: np.ndarray, box: Letterbox, size: tuple[int, int]
) -> np.ndarray:
    """A person's probability on the picture of `size`, float32, nothing outside the person's box.

    The logits are brought to the picture, so that the border lies where ultralytics has it: where they are 0.
    """
    logits_hw = np.tensordot(coefficients_M, protos_Mhw, axes=1)
    probability_HW = sigmoid(box.undo(shrink_then_enlarge(logits_hw, box.input_size), size))
    scale = np.array([size[0] / box.width, size[1] / box.height] * 2)
    x0, y0, x1, y1 = (box_4 - np.array([box.left, box.top] * 2)) * scale
    across_W, down_H = np.arange(size[0]), np.arange(size[1])
    probability_HW *= ((across_W >= x0) & (across_W < x1))[None, :]
    probability_HW *= ((down_H >= y0) & (down_H < y1))[:, None]
    return probability_HW
