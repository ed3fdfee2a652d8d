"""What the viewer's list says of a dataset and of each of its items, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..corrections.frames import state_of
from ..corrections.marks import Box, Marks
from ..dataset.buckets import bucket_for
from ..dataset.captions import read_caption
from ..dataset.corrected import has_other_base
from ..dataset.files import status_of
from ..dataset.items import DatasetItem
from ..dataset.load import expected_origin, still_of
from ..dataset.person_captions import own_caption_path
from ..errors import UserError
from ..images import image_size
from ..masks.named_tiers import named_tiers
from ..people.chosen import face_at
from ..people.decision import doubt
from ..video.reader import probe
from .viewed import ViewedDataset, ViewedItem, photograph_hash

_REMEMBERED = 20_000
CAPTION_SUFFIX = ".txt"


def dataset_facts(viewed: ViewedDataset) -> dict[str, Any]:
    """{"id", "title", "tiers": {name: value 0–255}, "items": [as `item_facts` gives them]}."""
    marks: dict[Path, Mapping[str, Marks]] = {}
    rows: list[dict[str, Any]] = []
    for each in viewed.items:
        folder = each.item.media_path.parent
        if folder not in marks:
            marks[folder] = viewed.store.marks(folder)
        noted = marks[folder].get(each.item.media_path.name, Marks())
        rows.append(item_facts(viewed, each, noted.of(each.item.subject)))
    return {
        "id": viewed.id,
        "title": viewed.title,
        "tiers": named_tiers([each.item for each in viewed.items]),
        "items": rows,
    }


def item_facts(viewed: ViewedDataset, each: ViewedItem, marks: Marks) -> dict[str, Any]:
    """{"id", "name", "person": whose item it is of several, else empty, "width", "height", "bucket": [width, height],
    "caption", "video", "frames": how many a video has, else 0, "still": the frame that stands for it,
    "mask": alpha|file|none, "coverage", "left_out": reason, "by_hand": left out in the viewer, "done", "outcome",
    "reason", "doubt": place in the order of doubts, "faces": [{"index", "box": fractions of the picture, "similarity",
    "chosen"}], "face_by_hand": the index of the face that somebody chose, -1 where it is none of these, "faceless",
    "revision": of the correction, "other_base", "error"}. What is not known is null."""
    row: dict[str, Any] = {
        "id": each.id, "name": each.item.name, "person": each.item.subject, "video": each.item.is_video,
        "left_out": each.left_out, "by_hand": marks.left_out, "done": marks.done, "coverage": each.coverage,
        "faceless": each.faceless,
        "width": 0, "height": 0, "bucket": None, "mask": "none", "caption": each.item.caption, "revision": "",
        "other_base": False, "error": "", "outcome": None, "reason": "", "faces": [], "doubt": None,
        "face_by_hand": None, "frames": 0, "still": 0,
    }  # fmt: skip
    try:
        width, height = size_of(each.item)
        if each.item.is_video:
            row.update(frames=probe(each.item.media_path).frames, still=still_of(each.item)[0])
        item = viewed.corrected(each)
        row.update(width=width, height=height, bucket=list(bucket_for((width, height), item.settings)))
        row["mask"] = expected_origin(replace(item, correction_path=None)).value
        row["caption"] = caption_of(item)
        if item.correction_path is not None:
            row.update(revision=state_of(item.correction_path), other_base=has_other_base(item))
    except UserError as error:
        row["error"] = str(error)
        return row
    person = item.person
    boxes = [] if person is None else [in_fractions(face.box, (width, height)) for face in person.faces]
    if person is not None:
        row.update(outcome=person.outcome.value, reason=person.reason, doubt=list(doubt(person)))
        row["faces"] = [
            {
                "index": face.index,
                "box": list(box),
                "similarity": face.similarity,
                "chosen": face.chosen,
            }
            for face, box in zip(person.faces, boxes, strict=True)
        ]
    if marks.face is not None and marks.face.photograph == photograph_hash(each.item.media_path):
        found = face_at(marks.face.box, boxes)
        row["face_by_hand"] = -1 if found is None else found
    return row


def in_fractions(box: Box, size: tuple[int, int]) -> Box:
    """A box of pixels in fractions of a picture of `size`, inside it."""
    left, top, right, bottom = (
        min(1.0, max(0.0, round(edge / side, 5))) for edge, side in zip(box, size * 2, strict=True)
    )
    return left, top, right, bottom


def size_of(item: DatasetItem) -> tuple[int, int]:
    """(width, height) upright; the header is read once for as long as the file stays as it is. ImageError and
    VideoError when it cannot be read."""
    if item.is_video:
        return probe(item.media_path).size
    status = status_of(item.media_path) if item.media_path.exists() else None
    return _image_size(item.media_path, status)


def caption_path_of(item: DatasetItem) -> Path:
    """Where the caption lies, or will."""
    if item.caption_path is None and item.subject:
        return own_caption_path(item.media_path, item.subject)
    return item.caption_path or item.media_path.with_suffix(CAPTION_SUFFIX)


def caption_of(item: DatasetItem) -> str:
    """The caption as its file has it now."""
    path = caption_path_of(item)
    return read_caption(path) if path.is_file() else item.caption


@lru_cache(maxsize=_REMEMBERED)
def _image_size(path: Path, _status: tuple[int, int] | None) -> tuple[int, int]:
    return image_size(path)
