"""Crops around the person: more of the face in each training step, from the masks that are there already.

No file is written: a crop is a rectangle on its item. Sizes are (width, height).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..dataset.crop import Crop, CropKind
from ..dataset.crops import STEP, refuse_crops
from ..dataset.items import Dataset, DatasetItem, LeftOut, MaskOrigin, crop_name
from ..dataset.load import expected_origin
from ..errors import DatasetError, SettingError
from ..people.decision import PersonDecision
from ..progress import SILENT, Progress
from ..workers import worker_count
from .build_masks import STEP as BUILD_STEP
from .crop_places import ItemCrops, Place, Wanted, find_places
from .crop_report import crop_report
from .each_item import Advance, each_item
from .part_values import KnownTiers

HERE = "[caption]"
_MOST_REPEATS = 10_000


@dataclass(frozen=True)
class CropRules:
    """How often whole photographs, busts and faces come (times the photograph's own repeats; 0 = not at all), and how
    they are cropped and captioned. `margin`: room around, in parts of the head's longer side. `min_face_px`: of the
    shorter side of a face. A text is put before the caption, or where it says [caption] around it."""

    whole: int = 1
    bust: int = 0
    face: int = 0
    margin: float = 0.3
    min_face_px: int = 0
    caption_whole: str = ""
    caption_bust: str = ""
    caption_face: str = ""

    def __post_init__(self) -> None:
        for name in ("whole", "bust", "face"):
            repeats: int = getattr(self, name)
            if not 0 <= repeats <= _MOST_REPEATS:
                raise SettingError(f"{name} is {repeats}; it must be from 0 to {_MOST_REPEATS}.")
        if not (self.whole or self.bust or self.face):
            raise SettingError("whole, bust and face are all 0, so nothing is left of the dataset; set one to 1.")
        if not (math.isfinite(self.margin) and 0 <= self.margin <= 10):
            raise SettingError(f"margin is {self.margin}; it must be from 0 to 10 times the head's size.")
        if self.min_face_px < 0:
            raise SettingError(f"min_face_px is {self.min_face_px}; it must be 0 (any face) or more pixels.")

    @property
    def kinds(self) -> tuple[CropKind, ...]:
        """The kinds of crops asked for."""
        return tuple(kind for kind in CropKind if self.repeats(kind))

    def repeats(self, kind: CropKind) -> int:
        """How often crops of a kind come."""
        return self.bust if kind is CropKind.BUST else self.face

    @property
    def captioned_as_whole(self) -> tuple[CropKind, ...]:
        """The kinds of crops asked for whose captions are those of the whole photographs that are there too."""
        same = (kind for kind in self.kinds if self.caption(HERE, kind) == self.caption(HERE, None))
        return tuple(same) if self.whole else ()

    def caption(self, caption: str, kind: CropKind | None) -> str:
        """The caption of a crop, or with None of a whole photograph."""
        texts = {None: self.caption_whole, CropKind.BUST: self.caption_bust, CropKind.FACE: self.caption_face}
        return with_caption(texts[kind], caption)


def with_caption(text: str, caption: str) -> str:
    """`text` before the caption with a space between, or with the caption in the place of [caption]. Where either is
    empty, the other alone."""
    text = text.strip()
    if not text:
        return caption
    if HERE in text:
        return text.replace(HERE, caption).strip(" ,;")
    return f"{text} {caption}".strip()


def crop_dataset(
    dataset: Dataset, rules: CropRules, progress: Progress = SILENT, workers: int | None = None
) -> tuple[Dataset, dict[str, Any]]:
    """The dataset with the crops of each item after it, named "anna~bust" and "anna~face"; without `whole` only these.

    A crop that cannot be made is left out, and named with the reason; of a video it may be of some clips. `workers`:
    photographs at a time, None for as many as there are cores.

    Returns it with the report of `crop_report`. DatasetError when there are crops or no masks already, or a name is
    taken; the errors of reading masks name the item.
    """
    refuse_crops(dataset, STEP)
    _check(dataset, rules)
    known = KnownTiers(BUILD_STEP)
    wanted = Wanted(rules.kinds, rules.margin, rules.min_face_px)
    # The ledgers are read here, not by several threads at once.
    tiers = {item.name: known.of(item) for item in dataset.items}

    def photograph(item: DatasetItem) -> ItemCrops:
        return find_places(item, wanted, tiers[item.name])

    def video(item: DatasetItem, advance: Advance) -> ItemCrops:
        advance.check()
        return find_places(item, wanted, tiers[item.name])

    rows: list[ItemCrops] = []
    if rules.kinds:
        rows = each_item(dataset.items, photograph, video, 1, workers or worker_count(), progress)
    crops = {row.item.name: row for row in rows}
    items: list[DatasetItem] = []
    left_out: list[LeftOut] = []
    for item in dataset.items:
        if rules.whole:
            caption = rules.caption(item.caption, None)
            items.append(replace(item, repeats=item.repeats * rules.whole, caption=caption))
        for kind in rules.kinds:
            places = crops[item.name].places[kind]
            crop = _crop(item, kind, places, rules)
            if any(place.is_kept for place in places):
                items.append(crop)
            else:
                left_out.append(LeftOut(crop, places[0].reason))
    cropped = Dataset(tuple(items), dataset.left_out + tuple(left_out), dataset.found)
    return cropped, crop_report(rows, cropped, bool(rules.whole), rules.captioned_as_whole)


def _check(dataset: Dataset, rules: CropRules) -> None:
    names = {item.name for item in (*dataset.items, *(left.item for left in dataset.left_out))}
    for item in dataset.items:
        for kind in rules.kinds:
            if (name := crop_name(item.name, kind)) in names:
                raise DatasetError(
                    f"The dataset has a photograph {name}, as the {kind.value} crop of {item.name} would be called; "
                    "rename one of the two."
                )
    has_masks = any(expected_origin(item) is not MaskOrigin.NONE for item in dataset.items)
    if rules.kinds and dataset.items and not has_masks:
        raise DatasetError(
            f"No item of the dataset has a mask, and {STEP} finds the person by it; connect Build Masks before, or "
            "give a mask_directory."
        )


def _crop(item: DatasetItem, kind: CropKind, places: Sequence[Place], rules: CropRules) -> DatasetItem:
    """The item of a crop. Of one that is left out for its size the rectangle is kept, to be looked at."""
    kept = [place for place in places if place.is_kept] or [place for place in places if place.rectangle is not None]
    rectangle = next((place.rectangle for place in kept if place.clip is None), None)
    by_clip = tuple(
        ((place.clip.position, len(place.clip.frames)), place.rectangle)
        for place in kept
        if place.clip is not None and place.rectangle is not None
    )
    person = item.person
    if person is not None and rectangle is not None:
        person = _move_faces(person, rectangle.left, rectangle.top)
    return replace(
        item,
        name=crop_name(item.name, kind),
        crop=Crop(kind, rectangle, by_clip),
        person=person,
        repeats=item.repeats * rules.repeats(kind),
        caption=rules.caption(item.caption, kind),
    )


def _move_faces(decision: PersonDecision, left: int, top: int) -> PersonDecision:
    """The decision about a photograph, with the faces where they are in a crop of it."""
    faces = tuple(
        replace(face, box=(face.box[0] - left, face.box[1] - top, face.box[2] - left, face.box[3] - top))
        for face in decision.faces
    )
    return replace(decision, faces=faces)
