"""Masks of photographs that EXIF turns: made of the upright picture, or of the pixels as they lie in the file.

Sizes are (width, height), upright unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from ..errors import ImageError
from ..images import PictureFacts, picture_facts
from ..resample import Size, check_same_aspect, is_same_aspect
from ..video.frame_index import index_of
from .files import MASK_LEDGER
from .items import DatasetItem

# From this EXIF orientation on width and height change places.
_ON_ITS_SIDE = 5
TURN_THEM = "give each mask its photograph's orientation (exiftool -tagsFromFile PHOTOGRAPH -Orientation MASK)"


def check_mask_fits(item: DatasetItem, size: Size, mask_size: Size) -> None:
    """ImageError when the aspect of a mask differs from the item's by more than 1 %; one that fits the picture as it is
    stored, before it is turned, is told as such."""
    if is_same_aspect(size, mask_size) or not is_same_aspect((size[1], size[0]), mask_size) or not _on_its_side(item):
        return check_same_aspect(item.name, size, mask_size)
    by = "its display matrix" if item.is_video else "its EXIF orientation"
    way = "turn the mask upright too" if item.is_video else f"{TURN_THEM}, or turn the mask upright"
    raise ImageError(
        f"the mask of {item.name} is {mask_size[0]}x{mask_size[1]} and its image {size[0]}x{size[1]} upright: the mask "
        f"fits the picture as it is stored, before {by} turns it; {way}"
    )


def undecided_turns(
    items: Iterable[DatasetItem], pictures: Mapping[str, PictureFacts], masked: Collection[str]
) -> tuple[str, ...]:
    """Names of the photographs that EXIF turns and whose mask file has no orientation and fits either way. `masked`
    have their weights from the mask file. Masks that a step of this pack wrote are upright. ImageError as
    `picture_facts`."""
    ours: dict[Path, bool] = {}
    found: list[str] = []
    for item in items:
        facts, mask = pictures.get(item.name), item.mask_path
        if facts is None or mask is None or facts.orientation == 1 or item.name not in masked:
            continue
        side = facts.orientation >= _ON_ITS_SIDE
        if side and not is_same_aspect(facts.size, (facts.size[1], facts.size[0])):
            continue
        if not ours.setdefault(mask.parent, _is_ours(mask)) and picture_facts(mask).orientation == 1:
            found.append(item.name)
    return tuple(found)


def _is_ours(mask: Path) -> bool:
    return any((folder / MASK_LEDGER).exists() for folder in mask.parents)


def _on_its_side(item: DatasetItem) -> bool:
    if not item.is_video:
        return picture_facts(item.media_path).orientation >= _ON_ITS_SIDE
    index = index_of(item.media_path)
    return index.stored == (index.info.size[1], index.info.size[0])
