"""Crops around a person: from what a mask shows of them to rectangles, and what a rectangle loses of the weight.

`_HW` pixel grid of the picture. Sizes are (width, height), boxes are `Rectangle`s without any room around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import cv2
import numpy as np

from ..errors import DatasetError
from ..resample import Size
from .buckets import bucket_for
from .crop import CropKind, Rectangle
from .items import Dataset, LoadSettings

STEP = "Crops (Dataset)"
# A face may be in pieces, by hair, glasses or a hand: what lies this near to its largest piece, in parts of its size,
# belongs to it. Smaller pieces than the other fraction of it are noise.
_NEAR = 0.25
_NOISE = 0.01
# A piece of this fraction of the largest is another face.
_ANOTHER = 0.25
# Head and shoulders, in parts of the face's longer side: how far they reach below the chin, and to each side of the
# face's middle.
_SHOULDERS_BELOW = 1.5
_SHOULDERS_BESIDE = 1.75


@dataclass(frozen=True)
class Figure:
    """One person in a picture. `face`: the box of the face, None where only hair is seen. `head`: face and hair.
    `bust`: head and shoulders. `others`: further faces in the same mask."""

    face: Rectangle | None
    head: Rectangle
    bust: Rectangle
    others: int = 0

    @property
    def face_px(self) -> int:
        """The shorter side of the face's box; 0 where no face is seen."""
        return 0 if self.face is None else min(self.face.size)

    def box(self, kind: CropKind) -> Rectangle:
        """What a crop of that kind shows."""
        return self.bust if kind is CropKind.BUST else self.head


def find_figure(face_HW: np.ndarray, hair_HW: np.ndarray, person_HW: np.ndarray) -> Figure | None:
    """The person whose face is the largest, None where neither face nor hair is seen. Three bool arrays: what is face,
    what is hair, and what is of anybody.

    Hair counts as the head's where it touches the face, beside and above it up to one face's size away: long hair below
    the chin is none of it.
    """
    face, others = _face(face_HW)
    head = _largest(hair_HW) if face is None else _head(face, hair_HW)
    return None if head is None else Figure(face, head, _bust(face or head, head, person_HW), others)


def widen(box: Rectangle, room_px: float, size: Size) -> Rectangle:
    """The box with room on every side, as far as the picture goes."""
    left, top = max(0, int(box.left - room_px)), max(0, int(box.top - room_px))
    right, bottom = min(size[0], int(box.right + room_px)), min(size[1], int(box.bottom + room_px))
    return Rectangle(left, top, right - left, bottom - top)


def crop_of(figures: Sequence[Figure], kind: CropKind, margin: float, size: Size, settings: LoadSettings) -> Rectangle:
    """The rectangle that shows every one of `figures` (at least one; of a clip one for each frame) as `kind` says, with
    room of `margin` times the longer side of the head, grown to the shape of its bucket where the picture allows."""
    boxes = (widen(figure.box(kind), margin * max(figure.head.size), size) for figure in figures)
    return grow_to_bucket(reduce(Rectangle.union, boxes), size, settings)


def grow_to_bucket(rectangle: Rectangle, size: Size, settings: LoadSettings) -> Rectangle:
    """The rectangle grown, never shrunk, so that its bucket cuts as little off as possible: to the bucket's shape, or
    to its very size where it keeps its own. It stays inside the picture."""
    bucket = bucket_for(rectangle.size, settings)
    width, height = rectangle.size
    area = settings.resolution[0] * settings.resolution[1]
    if settings.enable_bucket and settings.bucket_no_upscale and width * height <= area:
        step = settings.bucket_step
        wanted = -(-width // step) * step, -(-height // step) * step
    else:
        wanted = max(width, round(height * bucket[0] / bucket[1])), max(height, round(width * bucket[1] / bucket[0]))
    left, width = _grow(rectangle.left, width, wanted[0], size[0])
    top, height = _grow(rectangle.top, height, wanted[1], size[1])
    return Rectangle(left, top, width, height)


def visible_part(rectangle: Rectangle, bucket: Size) -> Rectangle:
    """What of the rectangle is trained on: its bucket cuts off what does not have its shape, evenly on both sides."""
    width, height = rectangle.size
    scale = max(bucket[0] / width, bucket[1] / height)
    seen_width, seen_height = max(1, round(bucket[0] / scale)), max(1, round(bucket[1] / scale))
    left, top = (width - seen_width) // 2, (height - seen_height) // 2
    return Rectangle(rectangle.left + left, rectangle.top + top, seen_width, seen_height)


def weight_outside(weights_HW: np.ndarray, kept: Sequence[Rectangle]) -> float:
    """The sum of the weights (float32) that lie in none of the rectangles."""
    outside_HW = weights_HW.copy() if kept else weights_HW
    for rectangle in kept:
        outside_HW[rectangle.top : rectangle.bottom, rectangle.left : rectangle.right] = 0
    return float(outside_HW.sum(dtype=np.float64))


def refuse_crops(dataset: Dataset, step: str) -> None:
    """DatasetError where the dataset has crops already: `step` needs whole photographs."""
    cut = [item.name for item in dataset.items if item.is_cut]
    if cut:
        order = "leave one of the two out" if step == STEP else f"connect {step} before {STEP}"
        raise DatasetError(f"The dataset has {len(cut)} crops ({cut[0]}), and {step} needs whole photographs; {order}.")


def _face(face_HW: np.ndarray) -> tuple[Rectangle | None, int]:
    """The box of the largest face, and how many further ones there are."""
    pieces = _pieces(face_HW)
    if not pieces:
        return None, 0
    (area, face), *rest = pieces
    near = _reach(face, _NEAR * max(face.size))
    others = 0
    for piece_area, piece in rest:
        if piece_area >= _NOISE * area and _touch(piece, near):
            face = face.union(piece)
        elif piece_area >= _ANOTHER * area:
            others += 1
    return face, others


def _head(face: Rectangle, hair_HW: np.ndarray) -> Rectangle:
    reach = max(face.size)
    left, top = max(0, face.left - reach), max(0, face.top - reach)
    around = Rectangle(left, top, min(hair_HW.shape[1], face.right + reach) - left, face.bottom - top)
    near = _reach(face, _NEAR * reach)
    head = face
    for area, piece in _pieces(around.cut(hair_HW)):
        piece = replace(piece, left=piece.left + left, top=piece.top + top)
        if area >= _NOISE * face.width * face.height and _touch(piece, near):
            head = head.union(piece)
    return head


def _bust(face: Rectangle, head: Rectangle, person_HW: np.ndarray) -> Rectangle:
    unit = max(face.size)
    middle = face.left + face.width / 2
    left, right = max(0, int(middle - _SHOULDERS_BESIDE * unit)), int(middle + _SHOULDERS_BESIDE * unit)
    height, width = person_HW.shape
    bottom = min(height, int(face.bottom + _SHOULDERS_BELOW * unit))
    area = Rectangle(left, head.top, max(1, min(width, right) - left), bottom - head.top)
    box = _box(area.cut(person_HW))
    if box is None:
        return head
    return head.union(replace(box, left=box.left + area.left, top=box.top + area.top))


def _largest(mask_HW: np.ndarray) -> Rectangle | None:
    pieces = _pieces(mask_HW)
    return pieces[0][1] if pieces else None


def _pieces(mask_HW: np.ndarray) -> list[tuple[int, Rectangle]]:
    """(pixels, box) of each connected piece, the largest first."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask_HW.astype(np.uint8), connectivity=8)
    pieces = [(int(area), Rectangle(*map(int, box))) for *box, area in stats[1:].tolist()]
    return sorted(pieces, key=lambda piece: -piece[0])


def _box(mask_HW: np.ndarray) -> Rectangle | None:
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if not len(rows):
        return None
    left, top = int(columns[0]), int(rows[0])
    return Rectangle(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def _reach(box: Rectangle, px: float) -> tuple[float, float, float, float]:
    return box.left - px, box.top - px, box.right + px, box.bottom + px


def _touch(box: Rectangle, area: tuple[float, float, float, float]) -> bool:
    return box.left < area[2] and box.right > area[0] and box.top < area[3] and box.bottom > area[1]


def _grow(start: int, length: int, wanted: int, room: int) -> tuple[int, int]:
    """A side grown to `wanted` about its middle, as far as there is room."""
    longer = min(max(length, wanted), room)
    return min(max(0, start - (longer - length) // 2), room - longer), longer
