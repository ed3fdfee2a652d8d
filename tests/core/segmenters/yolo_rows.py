"""Candidates, finished rows and prototypes of YOLO-seg networks, as tests give them out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import UserError
from maskloss.core.segmenters.yolo_seg import YoloPersonSegmenter

CLASSES, MASKS = 80, 32


def row(
    box: tuple[float, float, float, float], score: float, proto: int, of_class: int = 0, classes: int = CLASSES
) -> np.ndarray:
    """One candidate: centre and size from (x0, y0, x1, y1), one class, one prototype."""
    x0, y0, x1, y1 = box
    column = np.zeros(4 + classes + MASKS, np.float32)
    column[:4] = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    column[4 + of_class] = score
    column[4 + classes + proto] = 1.0
    return column


def protos(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (160, 160)) -> np.ndarray:
    """Prototypes that are +20 inside these boxes of the quarter grid and -20 outside."""
    masks_Mhw = np.full((MASKS, size[1], size[0]), -20.0, np.float32)
    for mask_hw, (x0, y0, x1, y1) in zip(masks_Mhw, boxes, strict=False):
        mask_hw[y0:y1, x0:x1] = 20
    return masks_Mhw


EVERYWHERE = (0, 0, 640, 640)


def covered(mask_HW: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(mask_HW > 0.5)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def coco(**others: str) -> dict[str, str]:
    """The metadata of ultralytics, with 80 classes."""
    names = {index: f"thing {index}" for index in range(CLASSES)} | {0: "person"}
    return {"names": str(names), "task": "segment", "stride": "32", "end2end": "False", **others}


def finished(
    box: tuple[float, float, float, float], score: float, proto: int, of_class: int = 0, rows: int = 300
) -> np.ndarray:
    """Finished rows (rows, 6 + M) of which the last but one is used, the others have the score 0."""
    rows_NC = np.zeros((rows, 6 + MASKS), np.float32)
    rows_NC[-2, :4], rows_NC[-2, 4], rows_NC[-2, 5], rows_NC[-2, 6 + proto] = box, score, of_class, 1.0
    return rows_NC


def message_of(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), [])
    return str(caught.value)
