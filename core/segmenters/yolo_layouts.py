"""What the outputs of a YOLO segmentation net mean: raw candidates or finished detections, by every sign there is.

Legend: B pictures, N candidates or rows, M mask coefficients, `_hw` the prototypes' grid. Boxes are pixels of the net's
input. ultralytics changed what it writes by default from release to release, and its metadata alone do not tell: a file
made with `nms=True` holds finished rows and says `end2end: False`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from .person_names import person_classes

_MIN_SCORE, _MAX_OVERLAP = 0.25, 0.7  # ultralytics' own defaults for predictions
_STRIDES = (8, 16, 32, 64)
_USUAL_STRIDE = 32  # of the coarsest grid
_FINISHED_COLUMNS = 6  # x0, y0, x1, y1, score, class
_PLACEHOLDER = re.compile(r"(class|label)?[ _]?\d+", re.IGNORECASE)
_EXPECTED = (
    "candidates (1, 4 + classes + M, N) or finished detections (1, N, 6 + M), and prototypes (1, M, height, width), as "
    "YOLOv8-seg, YOLO11-seg, YOLO26-seg and YOLOE-seg have them"
)


@dataclass(frozen=True)
class YoloMetadata:
    """What ultralytics wrote into the file. names: empty where there are none; size: (width, height) of the export."""

    names: Mapping[int, str]
    size: tuple[int, int] | None
    stride: int
    task: str
    says_finished: bool


@dataclass(frozen=True, eq=False)
class FoundPeople:
    """People, the surest first: boxes_N4 (x0, y0, x1, y1) and coefficients_NM, float32; protos_Mhw float32."""

    boxes_N4: np.ndarray
    coefficients_NM: np.ndarray
    protos_Mhw: np.ndarray


def read_metadata(written: Mapping[str, str]) -> YoloMetadata:
    """From the custom metadata of an ONNX file; what is missing or cannot be read counts as not written."""
    names, size, stride, arguments = (_literal(written.get(key, "")) for key in ("names", "imgsz", "stride", "args"))
    if isinstance(names, (list, tuple)):
        names = dict(enumerate(names))
    sides = [size, size] if isinstance(size, int) else size
    whole = isinstance(sides, (list, tuple)) and len(sides) == 2 and all(isinstance(x, int) and x > 0 for x in sides)
    with_nms = isinstance(arguments, dict) and arguments.get("nms") is True
    return YoloMetadata(
        names={int(index): str(name) for index, name in names.items()} if _is_table(names) else {},
        size=(sides[1], sides[0]) if whole else None,
        stride=stride if isinstance(stride, int) and stride > 0 else _USUAL_STRIDE,
        task=written.get("task", ""),
        says_finished=with_nms or written.get("end2end") == "True",
    )


def find_people(
    outputs: Sequence[np.ndarray], metadata: YoloMetadata, input_size: tuple[int, int], most: int
) -> FoundPeople:
    """The first picture's people, at most `most`, from all outputs of the net on an input of (width, height).

    Raises UserError when they are no segmentation of YOLO's, or the net knows no people.
    """
    rows_ab, protos_Mhw = _rows_and_prototypes(outputs, metadata)
    channels, columns = rows_ab.shape
    coefficients = len(protos_Mhw)
    classes = channels - 4 - coefficients
    is_raw = classes >= 1 and classes == (len(metadata.names) or classes)
    is_finished = columns == _FINISHED_COLUMNS + coefficients
    if is_raw and is_finished:
        # 300 rows of a finished net are as many as the channels of a raw one with 264 classes; that one has a candidate
        # for every cell.
        is_finished = metadata.says_finished or columns != _cells(input_size, metadata.stride)
    if is_finished:
        return _from_finished(rows_ab, protos_Mhw, metadata, most)
    if is_raw:
        return _from_raw(rows_ab, protos_Mhw, metadata, classes, most)
    raise _misfit(outputs, metadata)


def _rows_and_prototypes(outputs: Sequence[np.ndarray], metadata: YoloMetadata) -> tuple[np.ndarray, np.ndarray]:
    by_axes = {output.ndim: output for output in outputs}
    if len(outputs) != 2 or set(by_axes) != {3, 4} or not len(by_axes[3]) == len(by_axes[4]) >= 1:
        raise _misfit(outputs, metadata)
    return by_axes[3][0].astype(np.float32), by_axes[4][0].astype(np.float32)


def _from_raw(
    rows_CN: np.ndarray, protos_Mhw: np.ndarray, metadata: YoloMetadata, classes: int, most: int
) -> FoundPeople:
    """Every candidate is box (middle and sides), a probability for each class, coefficients; duplicates are in it."""
    people = np.array(sorted(_people_of(metadata)))
    scores_CN = rows_CN[4 : 4 + classes]
    scores_N = _check_scores(scores_CN[people].max(axis=0))
    found_N = np.flatnonzero(scores_N > _MIN_SCORE)
    # What is rather something else is no person.
    found_N = found_N[scores_N[found_N] >= scores_CN[:, found_N].max(axis=0)]
    found_N = found_N[np.argsort(-scores_N[found_N], kind="stable")]
    middle_2N, side_2N = rows_CN[:2, found_N], rows_CN[2:4, found_N]
    boxes_N4 = np.concatenate([middle_2N - side_2N / 2, middle_2N + side_2N / 2]).T
    kept = without_duplicates(boxes_N4)[:most]
    return FoundPeople(boxes_N4[kept], rows_CN[4 + classes :, found_N[kept]].T, protos_Mhw)


def _from_finished(rows_NC: np.ndarray, protos_Mhw: np.ndarray, metadata: YoloMetadata, most: int) -> FoundPeople:
    """Every row is box (corners), score, class, coefficients. The net has removed duplicates within each class, but one
    person may be there as several classes (person and woman); rows that are not used have the score 0."""
    scores_N, classes_N = _check_scores(rows_NC[:, 4]), np.rint(rows_NC[:, 5])
    found_N = np.flatnonzero((scores_N > _MIN_SCORE) & np.isin(classes_N, sorted(_people_of(metadata))))
    found_N = found_N[np.argsort(-scores_N[found_N], kind="stable")]
    kept = without_duplicates(rows_NC[found_N, :4], classes_N[found_N])[:most]
    found_N = found_N[kept]
    return FoundPeople(rows_NC[found_N, :4], rows_NC[found_N, _FINISHED_COLUMNS:], protos_Mhw)


def without_duplicates(boxes_N4: np.ndarray, finished_N: np.ndarray | None = None) -> list[int]:
    """The boxes that overlap no surer one by more than 70 %; they are sorted, the surest first.

    finished_N: the class of each, where those of one class have been told apart already and all stay.
    """
    area_N = np.prod(np.maximum(boxes_N4[:, 2:] - boxes_N4[:, :2], 0), axis=1)
    kept: list[int] = []
    for index, box_4 in enumerate(boxes_N4):
        low = np.maximum(boxes_N4[kept, :2], box_4[:2])
        high = np.minimum(boxes_N4[kept, 2:], box_4[2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        duplicate = shared > _MAX_OVERLAP * (area_N[kept] + area_N[index] - shared)
        if finished_N is not None:
            duplicate &= finished_N[kept] != finished_N[index]
        if not duplicate.any():
            kept.append(index)
    return kept


def _people_of(metadata: YoloMetadata) -> frozenset[int]:
    """The classes that are people: by name, else the first, which COCO's person and that of one-class nets is."""
    if all(_PLACEHOLDER.fullmatch(name) for name in metadata.names.values()):
        return frozenset({0})
    people = person_classes(metadata.names)
    if not people:
        raise UserError(f"it finds no people, its classes are {', '.join(list(metadata.names.values())[:10])}")
    return people


def _check_scores(scores_N: np.ndarray) -> np.ndarray:
    if np.isnan(scores_N).any():
        raise UserError("its scores are not numbers (NaN), as those of a net whose half precision overflows")
    return scores_N


def _misfit(outputs: Sequence[np.ndarray], metadata: YoloMetadata) -> UserError:
    shapes = [tuple(np.shape(output)) for output in outputs]
    text = f"its outputs have the shapes {', '.join(map(str, shapes))}, expected {_EXPECTED}"
    if metadata.task and metadata.task != "segment":
        text += f"; its metadata call it a net for the task {metadata.task!r}, and only 'segment' gives masks"
    elif metadata.names:
        text += f"; its metadata name {len(metadata.names)} classes"
    if len(shapes) == 3 and [len(shape) for shape in shapes] == [3, 3, 4] and shapes[0][2] == 4:
        text += "; three outputs of boxes, labels and masks are those of RF-DETR-seg or another detection transformer"
    return UserError(text)


def _cells(input_size: tuple[int, int], coarsest: int) -> int:
    """How many candidates a raw net has: one for each cell of its grids; yolov8-seg-p6 has a fourth."""
    strides = [stride for stride in _STRIDES if stride <= max(coarsest, _USUAL_STRIDE)]
    return sum(-(-input_size[0] // stride) * -(-input_size[1] // stride) for stride in strides)


def _literal(text: str) -> Any:
    """The Python literal that ultralytics writes; None for what is none."""
    try:
        return ast.literal_eval(text) if text else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_table(names: Any) -> bool:
    return isinstance(names, dict) and all(str(index).isdigit() for index in names)
