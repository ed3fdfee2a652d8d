"""What is said of a dataset's crops: which there are, what each loses of the weight, and which are left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..dataset.crop import CropKind
from ..dataset.items import Dataset, crop_name
from ..first_names import first_names
from ..warning import warn
from .crop_places import FoundBy, ItemCrops, Place

CROPPED, LEFT_OUT = "cropped", "left out"
# Enlarged more than this, a crop shows the model what its photograph does not have.
_MUCH_ENLARGED = 2.0
_FINDING = {
    FoundBy.USUAL: "masks are taken to have the usual tiers (face 255, body 128, hair 80), for nobody noted others",
    FoundBy.PERSON: "masks do not tell the face, which is taken from where Keep Person found it, without the hair",
}


def crop_report(
    rows: Sequence[ItemCrops], cropped: Dataset, has_whole: bool, captioned_as_whole: Sequence[CropKind] = ()
) -> dict[str, Any]:
    """{"items": [{"name", "photograph", "kind", "state": cropped|left out, "reason", "clip" of a video, "rectangle":
    [left, top, width, height], "bucket", "enlarged", "face_px", "weight_lost": 0 to 1}], "counts", "in_no_item": the
    fraction of the weight that is trained on in nothing, mean of all items, "messages"}. `has_whole`: the whole
    photographs are there too. `captioned_as_whole`: kinds whose captions do not tell them from whole photographs."""
    places = [(row, kind, place) for row in rows for kind, some in row.places.items() for place in some]
    kinds = Counter("whole" if item.crop is None else item.crop.kind.value for item in cropped.items)
    repeats: Counter[str] = Counter()
    for item in cropped.items:
        repeats["whole" if item.crop is None else item.crop.kind.value] += item.repeats
    lost = (
        0.0 if has_whole or not rows else float(np.mean([1.0 if row.in_none is None else row.in_none for row in rows]))
    )
    return {
        "items": [_item(row, kind, place) for row, kind, place in places],
        "counts": {
            "items": len(cropped.items),
            **{name: kinds[name] for name in ("whole", *(kind.value for kind in CropKind))},
            "left_out": sum(not place.is_kept for _, _, place in places),
            "per_epoch": repeats.total(),
        },
        "in_no_item": round(lost, 6),
        "messages": [
            *_messages(rows, repeats),
            *([] if has_whole else [_in_none(lost)]),
            *(_captions(kind) for kind in captioned_as_whole if repeats[kind.value]),
        ],
    }


def _item(row: ItemCrops, kind: CropKind, place: Place) -> dict[str, object]:
    rectangle = place.rectangle
    clip = {} if place.clip is None else {"clip": place.clip.suffix}
    size = (
        {}
        if rectangle is None
        else {
            "rectangle": [rectangle.left, rectangle.top, rectangle.width, rectangle.height],
            "bucket": list(place.bucket),
            "enlarged": round(place.enlarged, 3),
            "face_px": place.face_px,
            "weight_lost": round(place.lost, 6),
        }
    )
    return {
        "name": crop_name(row.item.name, kind),
        "photograph": row.item.name,
        "kind": kind.value,
        "state": CROPPED if place.is_kept else LEFT_OUT,
        "reason": place.reason,
        **clip,
        **size,
    }


def _messages(rows: Sequence[ItemCrops], repeats: Counter[str]) -> Iterator[str]:
    comes = ", ".join(f"{count} {name}" for name, count in repeats.items())
    yield f"Per epoch: {comes or 'nothing'}."
    for kind in CropKind:
        made = [(_name(row, kind, place), place) for row in rows for place in row.places.get(kind, ())]
        kept = [(name, place) for name, place in made if place.is_kept]
        if kept:
            worst_name, worst = max(kept, key=lambda each: each[1].lost)
            mean = float(np.mean([place.lost for _, place in kept]))
            yield (
                f"{len(kept)} {kind.value} crops leave {mean:.1%} of the weight out on average, at most "
                f"{worst.lost:.1%} ({worst_name})."
            )
        if gone := [f"{name} ({place.reason})" for name, place in made if not place.is_kept]:
            yield warn(f"{len(gone)} {kind.value} crops are left out: {first_names(gone)}.")
        if large := [(place.enlarged, name) for name, place in kept if place.enlarged > _MUCH_ENLARGED]:
            factor, name = max(large)
            yield warn(
                f"{len(large)} {kind.value} crops are enlarged more than {_MUCH_ENLARGED:g} times, at most "
                f"{factor:.1f} times ({name}); raise min_face_px, or set bucket_no_upscale where the dataset is loaded."
            )
    if several := [row.item.name for row in rows if row.others]:
        yield warn(
            f"{len(several)} masks show several faces, and the largest is cropped: {first_names(several)}. Connect "
            "Keep Person before Crops (Dataset), so that it is the right one."
        )
    for found_by, text in _FINDING.items():
        if found := [row.item.name for row in rows if row.found_by is found_by]:
            yield f"{len(found)} {text}: {first_names(found)}."


def _in_none(lost: float) -> str:
    text = f"Without whole photographs {lost:.1%} of the weight is trained on in no crop."
    return warn(text) if lost > 0 else text


def _captions(kind: CropKind) -> str:
    example = "upper body photo of" if kind is CropKind.BUST else "close-up portrait of"
    return (
        f"The {kind.value} crops have the captions of whole photographs, and so the LoRA learns that such a caption "
        f"means either; tell them apart with caption_{kind.value}, such as: {example}."
    )


def _name(row: ItemCrops, kind: CropKind, place: Place) -> str:
    name = crop_name(row.item.name, kind)
    return name if place.clip is None else f"{name}_{place.clip.suffix}"
