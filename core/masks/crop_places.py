"""Where the crops of one item lie: its masks are read, the person is found in them, rectangles and losses are measured.

`_HW` pixel grid. Sizes are (width, height).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from ..alpha import uint8_to_weights, weights_to_uint8
from ..dataset.buckets import bucket_for
from ..dataset.crop import CropKind, Rectangle
from ..dataset.crops import Figure, crop_of, find_figure, visible_part, weight_outside
from ..dataset.items import DatasetItem, MaskOrigin
from ..dataset.load import expected_origin, load_item, media_size, read_weights
from ..images import load_mask
from ..people.decision import PersonDecision
from ..progress import check_interrupted
from ..resample import Size, fit_mask
from ..video.clips import Clip, clips_of
from ..video.masks import read_mask_frames
from ..video.reader import probe
from .part_values import Tiers, usual_tiers

NO_MASK = "it has no mask"
EMPTY = "nothing in its mask has weight"
NO_TIER = "its mask does not tell which part is the face"
NO_FACE = "no face has weight in it"


class FoundBy(str, Enum):
    """How it is known what of a mask is the face."""

    NOTED = "tiers that Build Masks noted"
    USUAL = "the usual tier values"
    PERSON = "the face that Keep Person chose"


@dataclass(frozen=True)
class Wanted:
    """Which crops, with room of `margin` times the head's longer side; of a face whose shorter side has fewer pixels
    than `min_face_px` none is made."""

    kinds: tuple[CropKind, ...]
    margin: float
    min_face_px: int


@dataclass(frozen=True)
class Place:
    """One crop, of a photograph or of a clip. `face_px`: the shorter side of the face, of a clip in half of its frames
    more. `lost`: the fraction of the weight that is not trained on in it. `reason` is why it is left out, or empty;
    `rectangle` is None where there is nothing to crop."""

    clip: Clip | None
    rectangle: Rectangle | None
    reason: str = ""
    bucket: Size = (0, 0)
    face_px: int = 0
    lost: float = 1.0

    @property
    def is_kept(self) -> bool:
        """Whether it is trained on."""
        return self.rectangle is not None and not self.reason

    @property
    def enlarged(self) -> float:
        """How many times as large as in its file it is trained at."""
        size = (1, 1) if self.rectangle is None else self.rectangle.size
        return max(self.bucket[0] / size[0], self.bucket[1] / size[1])


@dataclass(frozen=True)
class ItemCrops:
    """All crops of one item by their kind. `in_none`: the fraction of its weight that lies in none of those kept, None
    where it has no weight. `others`: further faces in its mask."""

    item: DatasetItem
    places: Mapping[CropKind, tuple[Place, ...]]
    found_by: FoundBy | None = None
    in_none: float | None = None
    others: int = 0


def find_places(item: DatasetItem, wanted: Wanted, known: Tiers | None) -> ItemCrops:
    """The crops of one item; `known` are the tiers noted of its mask. Errors as `load_item` and `read_weights`."""
    if expected_origin(item) is MaskOrigin.NONE:
        return _none(item, wanted, NO_MASK)
    if item.is_video:
        info = probe(item.media_path)
        clips: tuple[Clip | None, ...] = clips_of(info.times, item.settings.video)
        return _Places(item, wanted, known, clips, info.size).all()
    return _Places(item, wanted, known, (None,), media_size(item)).all()


class _Places:
    """The work on one item."""

    def __init__(
        self, item: DatasetItem, wanted: Wanted, known: Tiers | None, clips: Sequence[Clip | None], size: Size
    ) -> None:
        self._item, self._wanted, self._clips, self._size = item, wanted, clips, size
        self._still: tuple[np.ndarray, np.ndarray] | None = None
        self._numbers = sorted({number for clip in clips for number in _frames(clip)})
        self._tiers, self._face, self._found_by = self._how(known)

    def all(self) -> ItemCrops:
        """Both passes: where the person is in each frame, then what each crop loses."""
        if self._found_by is None:
            return _none(self._item, self._wanted, NO_TIER)
        figures: dict[int, Figure | None] = {}
        has_weight = False
        for number, tiers_HW, weights_HW in self._read():
            check_interrupted()
            has_weight = has_weight or bool(weights_HW.any())
            figures[number] = self._figure(tiers_HW, weights_HW)
        if not has_weight:
            return _none(self._item, self._wanted, EMPTY)
        places = {
            kind: [self._place(clip, kind, [figures[number] for number in _frames(clip)]) for clip in self._clips]
            for kind in self._wanted.kinds
        }
        in_none = self._measure(places)
        others = max((figure.others for figure in figures.values() if figure is not None), default=0)
        measured = {kind: tuple(some) for kind, some in places.items()}
        return ItemCrops(self._item, measured, self._found_by, in_none, others)

    def _how(self, known: Tiers | None) -> tuple[Tiers | None, Rectangle | None, FoundBy | None]:
        """The tiers, or the face, and how they are known."""
        if known is not None and known.face is not None:
            return known, None, FoundBy.NOTED
        if known is None:
            looked_at = self._numbers[:: max(1, len(self._numbers) // 3)]
            for _, tiers_HW, _ in self._read(looked_at):
                if (usual := usual_tiers(tiers_HW)) is not None:
                    return usual, None, FoundBy.USUAL
        face = None if self._item.is_video else _chosen_face(self._item.person, self._size)
        return None, face, None if face is None else FoundBy.PERSON

    def _figure(self, tiers_HW: np.ndarray, weights_HW: np.ndarray) -> Figure | None:
        has_weight_HW = weights_HW > 0
        nothing_HW = np.zeros_like(has_weight_HW)
        tiers = self._tiers
        if tiers is None:
            face_HW = nothing_HW
            if self._face is not None:
                face_HW = nothing_HW.copy()
                face_HW[self._face.top : self._face.bottom, self._face.left : self._face.right] = True
            return find_figure(face_HW, nothing_HW, has_weight_HW)
        hair_HW = nothing_HW if tiers.hair is None else _tier(tiers_HW, weights_HW, tiers.hair)
        face_HW = nothing_HW if tiers.face is None else _tier(tiers_HW, weights_HW, tiers.face)
        return find_figure(face_HW, hair_HW, has_weight_HW & (tiers_HW != tiers.background))

    def _place(self, clip: Clip | None, kind: CropKind, figures: Sequence[Figure | None]) -> Place:
        seen = [figure for figure in figures if figure is not None]
        faces = [figure.face_px for figure in seen if figure.face is not None]
        if not faces:
            return Place(clip, None, NO_FACE)
        face_px = round(median(faces))
        rectangle = crop_of(seen, kind, self._wanted.margin, self._size, self._item.settings)
        bucket = bucket_for(rectangle.size, self._item.settings)
        reason = ""
        if face_px < self._wanted.min_face_px:
            reason = f"its face is {face_px} px, less than min_face_px {self._wanted.min_face_px}"
        elif self._item.settings.bucket_no_upscale and (bucket[0] > rectangle.width or bucket[1] > rectangle.height):
            reason = (
                f"it is {rectangle.width}x{rectangle.height} px, smaller than its bucket {bucket[0]}x{bucket[1]}, and "
                "bucket_no_upscale is on"
            )
        return Place(clip, rectangle, reason, bucket, face_px)

    def _measure(self, places: Mapping[CropKind, list[Place]]) -> float:
        """Fills in what each place loses; returns the fraction of the weight that is in none of those kept."""
        outside: defaultdict[tuple[CropKind, int], float] = defaultdict(float)
        in_frames: defaultdict[int, float] = defaultdict(float)
        total = in_none = 0.0
        for number, _, weights_HW in self._read():
            check_interrupted()
            weight = float(weights_HW.sum(dtype=np.float64))
            kept: list[Rectangle] = []
            for index, clip in enumerate(self._clips):
                if number not in _frames(clip):
                    continue
                in_frames[index] += weight
                for kind, some in places.items():
                    place = some[index]
                    if place.rectangle is not None:
                        seen = visible_part(place.rectangle, place.bucket)
                        outside[kind, index] += weight_outside(weights_HW, [seen])
                        kept += [seen] if place.is_kept else []
            total += weight
            in_none += weight_outside(weights_HW, kept)
        for kind, some in places.items():
            for index, place in enumerate(some):
                if place.rectangle is not None and in_frames[index]:
                    some[index] = replace(place, lost=outside[kind, index] / in_frames[index])
        return in_none / total

    def _read(self, numbers: Sequence[int] | None = None) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """(number, tiers_HW uint8 of everyone, weights_HW of the person) of each frame; of a photograph once."""
        item, size = self._item, self._size
        wanted = self._numbers if numbers is None else numbers
        path = None if item.tiers_path == item.mask_path else item.tiers_path
        if not item.is_video:
            self._still = self._still or _still(item, path, size)
            yield (0, *self._still)
            return
        own, info = item.mask_path, probe(item.media_path)
        if path is None and item.correction_path is not None:
            for number, weights_HW in read_weights(item, wanted):
                yield number, weights_to_uint8(weights_HW), weights_HW
        elif path is None and own is not None:
            for number, mask_HW in read_mask_frames(own, info, wanted, item.mask_meaning, item.tier_values):
                yield number, _levels(mask_HW, size), fit_mask(uint8_to_weights(mask_HW), size, size)
        elif path is not None:
            tiers = read_mask_frames(path, info, wanted, item.tiers_meaning, item.tier_values)
            for (number, weights_HW), (_, tiers_HW) in zip(read_weights(item, wanted), tiers, strict=True):
                yield number, _levels(tiers_HW, size), weights_HW


def _none(item: DatasetItem, wanted: Wanted, reason: str) -> ItemCrops:
    return ItemCrops(item, {kind: (Place(None, None, reason),) for kind in wanted.kinds})


def _frames(clip: Clip | None) -> Sequence[int]:
    return (0,) if clip is None else clip.frames


def _still(item: DatasetItem, tiers_path: Path | None, size: Size) -> tuple[np.ndarray, np.ndarray]:
    """Tiers and weights of a photograph at its size, which is decoded only where they are in its alpha."""
    is_file = item.mask_path is not None and expected_origin(item) is MaskOrigin.FILE
    if is_file and item.mask_path is not None and item.correction_path is None:
        tiers_HW = load_mask(item.mask_path, item.mask_meaning)
        weights_HW = fit_mask(uint8_to_weights(tiers_HW), size, size)
    else:
        weights_HW = load_item(item).full_weights_HW
        tiers_HW = weights_to_uint8(weights_HW)
    return _levels(tiers_HW if tiers_path is None else load_mask(tiers_path, item.tiers_meaning), size), weights_HW


def _levels(mask_HW: np.ndarray, size: Size) -> np.ndarray:
    """A mask at the picture's size, with no values but its own: between two tiers lies the value of a third."""
    if mask_HW.shape == size[::-1]:
        return mask_HW
    return cv2.resize(mask_HW, size, interpolation=cv2.INTER_NEAREST_EXACT)


def _tier(tiers_HW: np.ndarray, weights_HW: np.ndarray, value: int) -> np.ndarray:
    """Where everyone's mask has the value and the person's most of its weight: where weights fade out it is others'."""
    return (tiers_HW == value) & (weights_HW > 0) & (weights_HW * np.float32(510) >= value)


def _chosen_face(decision: PersonDecision | None, size: Size) -> Rectangle | None:
    if decision is None or decision.chosen is None:
        return None
    left, top, right, bottom = next(face.box for face in decision.faces if face.chosen)
    x0, y0 = max(0, int(left)), max(0, int(top))
    x1, y1 = min(size[0], int(right) + 1), min(size[1], int(bottom) + 1)
    return Rectangle(x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else None
