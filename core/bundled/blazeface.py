"""BlazeFace, full range: face boxes and six keypoints, on the whole picture, with borders, and on tiles of it.

Anchors, letterbox and decoding follow MediaPipe's face_detection graph: 48 x 48 anchors of one size,
offsets in units of the 192-pixel input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ..resample import limit_size, shrink_then_enlarge
from .nets import load_net, sigmoid
from .registry import FACE_DETECTOR

_INPUT_PX = 192
_GRID = 48
_OUTPUTS = ("reshaped_regressor_face_4", "reshaped_classifier_face_4")
_TILE_FRACTIONS = (0.6, 0.35, 0.2)  # of the long side; neighbouring tiles share at least a third
# The net knows faces of up to about half its input: a close-up is looked at with borders as well, in long sides of the
# picture on each of its four sides. `benchmarks/detection.py` has what they find.
_BORDERS = (0.35, 0.7, 1.4)
_BORDERED_PX = 768  # a close-up needs no more of its pixels
_OVERLAP_IOU = 0.3
_AT_ONCE = 4  # squares that the net is shown together: what it makes of more does not fit the caches


@dataclass(frozen=True, eq=False)
class Detection:
    """One face, in pixels of the picture.

    `box` is (x0, y0, x1, y1). `keypoints_K2`: right eye, left eye, nose, mouth, right ear, left ear (the person's own
    right and left), float64. `score` is in [0, 1].
    """

    box: tuple[float, float, float, float]
    score: float
    keypoints_K2: np.ndarray

    @property
    def centre(self) -> np.ndarray:
        x0, y0, x1, y1 = self.box
        return np.array([(x0 + x1) / 2, (y0 + y1) / 2])

    @property
    def side_px(self) -> float:
        """Longer side of the box."""
        x0, y0, x1, y1 = self.box
        return max(x1 - x0, y1 - y0)


def detect(rgb_HWC: np.ndarray, min_score: float = 0.5) -> list[Detection]:
    """Faces of a picture (RGB uint8) from about 2 % of its long side to somewhat larger than all of it, best first.

    Looked at are the whole picture, the picture with a border around it, for close-ups, and overlapping tiles of it,
    for small faces.
    """
    height, width = rgb_HWC.shape[:2]
    small_HWC, scale = limit_size(rgb_HWC, _BORDERED_PX)
    whole, *bordered = _find_in([(rgb_HWC, 0.0), *((small_HWC, border) for border in _BORDERS)], min_score)
    found = whole + [_scale_face(face, 1 / scale) for faces in bordered for face in faces]
    corners: list[tuple[int, int, int]] = []
    for tile in (int(max(height, width) * fraction) for fraction in _TILE_FRACTIONS):
        if tile < _INPUT_PX:
            break  # enlarging shows the net nothing new
        corners += [(top, left, tile) for top in _tile_starts(height, tile) for left in _tile_starts(width, tile)]
    parts = [(rgb_HWC[top : top + tile, left : left + tile], 0.0) for top, left, tile in corners]
    for (top, left, tile), faces in zip(corners, _find_in(parts, min_score), strict=True):
        inside = [_shift_face(face, left, top) for face in faces]
        found += [face for face in inside if not _is_cut_off(face, (left, top, left + tile, top + tile), rgb_HWC)]
    return _suppress_overlapping(found)


def _tile_starts(length: int, tile: int) -> list[int]:
    if length <= tile:
        return [0]
    steps = -(-(length - tile) // (tile * 2 // 3))
    return [round(step * (length - tile) / steps) for step in range(steps + 1)]


def _find_in(pictures: Sequence[tuple[np.ndarray, float]], min_score: float) -> list[list[Detection]]:
    """What the net finds in each (picture, border), in no order; borders are black as MediaPipe's letterbox, in long
    sides of the picture."""
    found: list[list[Detection]] = []
    for first in range(0, len(pictures), _AT_ONCE):
        some = pictures[first : first + _AT_ONCE]
        squares_NHWC = np.stack([_square(rgb_HWC, border) for rgb_HWC, border in some])
        outputs = load_net(FACE_DETECTOR, _OUTPUTS).run(squares_NHWC.astype(np.float32) / 127.5 - 1.0)
        for (rgb_HWC, border), regression, logits in zip(some, *outputs, strict=True):
            found.append(_decode(regression, sigmoid(logits.reshape(-1)), _letterbox(rgb_HWC, border), min_score))
    return found


def _letterbox(rgb_HWC: np.ndarray, border: float) -> tuple[int, int, int]:
    """Side of the square around a picture with borders, and the picture's top and left in it."""
    height, width = rgb_HWC.shape[:2]
    side = round(max(height, width) * (1 + 2 * border))
    return side, (side - height) // 2, (side - width) // 2


def _square(rgb_HWC: np.ndarray, border: float) -> np.ndarray:
    """The net's input, uint8."""
    height, width = rgb_HWC.shape[:2]
    side, top, left = _letterbox(rgb_HWC, border)
    if (side, side) != (height, width):
        square_HWC = np.zeros((side, side, 3), np.uint8)
        square_HWC[top : top + height, left : left + width] = rgb_HWC
        rgb_HWC = square_HWC
    return shrink_then_enlarge(rgb_HWC, (_INPUT_PX, _INPUT_PX))


def _decode(
    regression: np.ndarray, scores: np.ndarray, letterbox: tuple[int, int, int], min_score: float
) -> list[Detection]:
    """The net's outputs as faces of the picture in the letterbox."""
    side, top, left = letterbox
    kept = np.flatnonzero(scores > min_score)
    values = regression.reshape(-1, 16)[kept].astype(np.float64) / _INPUT_PX
    anchors = np.stack([(kept % _GRID + 0.5) / _GRID, (kept // _GRID + 0.5) / _GRID], axis=1)
    centres, sizes = values[:, :2] + anchors, values[:, 2:4]
    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1) * side - [left, top, left, top]
    keypoints = (values[:, 4:].reshape(-1, 6, 2) + anchors[:, None]) * side - [left, top]
    return [
        Detection((float(x0), float(y0), float(x1), float(y1)), float(scores[index]), points)
        for index, (x0, y0, x1, y1), points in zip(kept, corners, keypoints, strict=True)
    ]


def _scale_face(face: Detection, scale: float) -> Detection:
    x0, y0, x1, y1 = face.box
    return Detection((x0 * scale, y0 * scale, x1 * scale, y1 * scale), face.score, face.keypoints_K2 * scale)


def _shift_face(face: Detection, dx: int, dy: int) -> Detection:
    x0, y0, x1, y1 = face.box
    return Detection((x0 + dx, y0 + dy, x1 + dx, y1 + dy), face.score, face.keypoints_K2 + np.array([dx, dy]))


def _is_cut_off(face: Detection, tile: tuple[int, int, int, int], rgb_HWC: np.ndarray) -> bool:
    """Whether the face crosses an edge of its tile that is not an edge of the picture: another tile has it whole."""
    height, width = rgb_HWC.shape[:2]
    (x0, y0, x1, y1), (left, top, right, bottom) = face.box, tile
    return (x0 < left > 0) or (y0 < top > 0) or (x1 > right < width) or (y1 > bottom < height)


def _suppress_overlapping(faces: list[Detection]) -> list[Detection]:
    if not faces:
        return []
    boxes = [[face.box[0], face.box[1], face.box[2] - face.box[0], face.box[3] - face.box[1]] for face in faces]
    kept = cv2.dnn.NMSBoxes(boxes, [face.score for face in faces], 0.0, _OVERLAP_IOU)
    return [faces[int(index)] for index in np.asarray(kept).reshape(-1)]
