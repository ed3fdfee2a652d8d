"""Everyone's mask through a YOLO segmentation net exported to ONNX, run by onnxruntime alone.

Legend: `_HW` is the picture's pixel grid, `_hw` the prototypes' grid, N candidates, M mask coefficients.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..bundled.nets import sigmoid
from ..errors import UserError
from ..people.faces import Face
from ..people.instances import PersonMask
from ..resample import shrink_then_enlarge
from .model_files import ModelSource, file_digest, unusable
from .onnx_session import import_onnxruntime, onnx_errors, open_session

YOLO = ModelSource(
    purpose="masks of people with YOLO-seg",
    example="models/ultralytics/segm/yolo11m-seg.onnx",
    folder="models/ultralytics/segm",
    source="`yolo export model=yolo11m-seg.pt format=onnx` of ultralytics, done elsewhere",
    licence="AGPL-3.0 for ultralytics' own weights",
)

_METHOD = 2  # raise when the same file would give other masks
_MIN_SCORE, _MAX_OVERLAP = 0.25, 0.7
_MAX_PEOPLE = 50  # each has a mask of the picture's size
_DEFAULT_SIDE = 640
_GREY = 114  # what these nets were trained to see around a picture
_PLACEHOLDER = re.compile(r"(class|label)?[ _]?\d+", re.IGNORECASE)
_EXPECTED = (
    "output0 (1, 4 + classes + M, N) and output1 (1, M, h, w), as YOLOv8-seg and YOLO11-seg have them when exported "
    "without nms"
)


@dataclass(frozen=True)
class Letterbox:
    """How a picture lies in the net's input, in pixels of that input: resized to width x height, at left, top."""

    input_size: tuple[int, int]
    left: int
    top: int
    width: int
    height: int

    @staticmethod
    def fit(size: tuple[int, int], input_size: tuple[int, int]) -> Letterbox:
        """Whole and centred, for a picture of `size`; both (width, height)."""
        scale = min(input_size[0] / size[0], input_size[1] / size[1])
        width, height = (max(1, round(side * scale)) for side in size)
        return Letterbox(input_size, (input_size[0] - width) // 2, (input_size[1] - height) // 2, width, height)

    def apply(self, rgb_HWC: np.ndarray) -> np.ndarray:
        """The net's input picture, uint8, grey around."""
        inner = shrink_then_enlarge(rgb_HWC, (self.width, self.height))
        canvas = np.full((self.input_size[1], self.input_size[0], 3), _GREY, np.uint8)
        canvas[self.top : self.top + self.height, self.left : self.left + self.width] = inner
        return canvas

    def undo(self, input_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """What lies over the picture, taken out of a map on the net's input and brought to the picture's size."""
        inner = input_HW[self.top : self.top + self.height, self.left : self.left + self.width]
        return shrink_then_enlarge(inner, size)


class YoloPersonSegmenter:
    """Implements PersonSegmenter: one mask for each person found, whoever's face it has.

    path: an .onnx file; it loads when first used. A net that names its classes must have one called person.
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

        Raises UserError when the file does not load, has other inputs or outputs, or knows no people.
        """
        height, width = rgb_HWC.shape[:2]
        box = Letterbox.fit((width, height), self._input_size)
        blob = (box.apply(rgb_HWC).transpose(2, 0, 1)[None] / np.float32(255)).astype(self._input_type)
        rows_CN, protos_Mhw = self._run(blob)
        return [
            PersonMask(box.undo(_mask(boxes_4, coefficients_M, protos_Mhw, box.input_size), (width, height)))
            for boxes_4, coefficients_M in self._people(rows_CN, len(protos_Mhw))
        ]

    def _run(self, blob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        errors = onnx_errors(import_onnxruntime(self._path.name))
        try:
            outputs = self._session.run(None, {self._session.get_inputs()[0].name: blob})
        except errors as error:
            raise unusable(self._path, f"it does not run on a picture of {blob.shape} ({error})", YOLO) from error
        shapes = [tuple(np.shape(output)) for output in outputs]
        if [len(shape) for shape in shapes] != [3, 4] or shapes[0][0] != 1 or shapes[1][0] != 1:
            raise self._misfit(shapes)
        rows_CN, protos_Mhw = (np.asarray(output[0], np.float32) for output in outputs)
        if rows_CN.shape[0] < 5 + protos_Mhw.shape[0]:
            raise self._misfit(shapes)
        return rows_CN, protos_Mhw

    def _misfit(self, shapes: list[tuple[int, ...]]) -> UserError:
        return unusable(
            self._path, f"its outputs have the shapes {', '.join(map(str, shapes))}, expected {_EXPECTED}", YOLO
        )

    def _people(self, rows_CN: np.ndarray, coefficients: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Box (x0, y0, x1, y1 on the net's input) and coefficients of each person, the surest first."""
        classes = rows_CN.shape[0] - 4 - coefficients
        person = self._person_class(classes)
        best_N = rows_CN[4 : 4 + classes].argmax(axis=0)
        scores_N = rows_CN[4 + person]
        found_N = np.flatnonzero((best_N == person) & (scores_N >= _MIN_SCORE))
        found_N = found_N[np.argsort(-scores_N[found_N], kind="stable")]
        middle_2N, side_2N = rows_CN[:2, found_N], rows_CN[2:4, found_N]
        boxes_N4 = np.concatenate([middle_2N - side_2N / 2, middle_2N + side_2N / 2]).T
        kept = _without_duplicates(boxes_N4)[:_MAX_PEOPLE]
        return [(boxes_N4[each], rows_CN[4 + classes :, found_N[each]]) for each in kept]

    def _person_class(self, classes: int) -> int:
        names = self._class_names
        if not names:
            return 0
        people = [index for index, name in names.items() if name.strip().lower() == "person" and index < classes]
        if not people:
            listed = ", ".join(list(names.values())[:10])
            raise unusable(self._path, f"it finds no people, its classes are {listed}", YOLO)
        return people[0]

    @cached_property
    def _session(self) -> Any:
        session = open_session(self._path, YOLO)
        shapes = [tuple(each.shape) for each in session.get_inputs()]
        if len(shapes) != 1 or len(shapes[0]) != 4 or (shapes[0][1] not in (3, None) and isinstance(shapes[0][1], int)):
            raise unusable(self._path, f"its inputs have the shapes {shapes}, expected one (1, 3, height, width)", YOLO)
        return session

    @cached_property
    def _input_size(self) -> tuple[int, int]:
        """(width, height) of the net's input: its own, or 640 where it takes any."""
        height, width = self._session.get_inputs()[0].shape[2:]
        return (
            width if isinstance(width, int) else _DEFAULT_SIDE,
            height if isinstance(height, int) else _DEFAULT_SIDE,
        )

    @cached_property
    def _input_type(self) -> type[np.floating[Any]]:
        return np.float16 if self._session.get_inputs()[0].type == "tensor(float16)" else np.float32

    @cached_property
    def _class_names(self) -> dict[int, str]:
        """The classes that the file itself names; empty when it names none or only numbers them."""
        text = self._session.get_modelmeta().custom_metadata_map.get("names", "")
        try:
            names = ast.literal_eval(text) if text else {}
        except (ValueError, SyntaxError):
            names = {}
        if not isinstance(names, dict) or all(_PLACEHOLDER.fullmatch(str(name)) for name in names.values()):
            return {}
        return {int(index): str(name) for index, name in names.items()}


def _without_duplicates(boxes_N4: np.ndarray) -> list[int]:
    """The boxes that overlap no surer one by more than 70 %; they are sorted, the surest first."""
    area_N = np.prod(np.maximum(boxes_N4[:, 2:] - boxes_N4[:, :2], 0), axis=1)
    kept: list[int] = []
    for index, box_4 in enumerate(boxes_N4):
        low = np.maximum(boxes_N4[kept, :2], box_4[:2])
        high = np.minimum(boxes_N4[kept, 2:], box_4[2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        union = area_N[kept] + area_N[index] - shared
        if not (shared > _MAX_OVERLAP * union).any():
            kept.append(index)
    return kept


def _mask(
    box_4: np.ndarray, coefficients_M: np.ndarray, protos_Mhw: np.ndarray, input_size: tuple[int, int]
) -> np.ndarray:
    """A person's probability on the net's input, float32, nothing outside the box."""
    logits_hw = np.tensordot(coefficients_M, protos_Mhw, axes=1)
    probability_HW = sigmoid(shrink_then_enlarge(logits_hw, input_size))
    width, height = input_size
    x0, y0, x1, y1 = box_4
    across_W, down_H = np.arange(width) + 0.5, np.arange(height) + 0.5
    probability_HW *= ((across_W >= x0) & (across_W < x1))[None, :]
    probability_HW *= ((down_H >= y0) & (down_H < y1))[:, None]
    return probability_HW
