"""What the mask files of a dataset hold and how they were read: for reports, and for what depends on it.

A photograph's mask is read whole; of a video's the first, the middle and the last frame stand for all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from ..images import read_mask
from ..mask_meaning import MaskMeaning, ReadMask
from ..video.masks import read_frame_masks
from ..video.reader import VIDEO_SUFFIXES, probe
from ..workers import map_in_order, worker_count
from .files import hash_of, status_of
from .items import DatasetItem
from .ledger_records import stored_in
from .load import uses_mask_file
from .not_read import Unusable

_REMEMBERED_FILES = 16384
MOST_TIERS = 12  # of more, none would be far enough from the next
DARK_BELOW = 32
TIER_VALUES = "tier_values"
"""What Build Masks notes of a mask: every value that its tiers have, from 0 to 255."""


@dataclass(frozen=True)
class MaskFacts:
    """How a mask was read. `layout`: what the file holds. `lowest`, `highest`: its values as stored; `full` counts
    fully. `fraction`: of the picture, what has any weight. `key` is empty for a plain grey mask, and else differs for
    readings that weigh differently. `levels`: those of a mask without loss, where they are few. `note`: a sentence for
    people, or empty."""

    meaning: MaskMeaning
    layout: str
    lowest: float
    highest: float
    full: float
    fraction: float
    key: str
    levels: tuple[int, ...] = ()
    note: str = ""

    @property
    def is_dark(self) -> bool:
        """Whether something has weight, and nothing more than next to none."""
        return self.fraction > 0 and self.highest / self.full < DARK_BELOW / 255

    def to_json(self) -> dict[str, object]:
        """{"meaning", "layout", "values": [lowest, highest], "full", "share", "note" where there is one}."""
        return {
            "meaning": self.meaning.value,
            "layout": self.layout,
            "values": [round(self.lowest, 6), round(self.highest, 6)],
            "full": self.full,
            "share": round(self.fraction, 6),
            **({"note": self.note} if self.note else {}),
        }


def mask_facts(item: DatasetItem) -> MaskFacts | None:
    """How the item's mask file is read, or None where it has none. ImageError and VideoError as `read_mask` and
    `read_frame_masks`. Unchanged files are read once in a process."""
    return None if item.mask_path is None else file_facts(item, item.mask_path, item.mask_meaning)


def file_facts(item: DatasetItem, path: Path, meaning: MaskMeaning) -> MaskFacts:
    """How any mask file of the item is read. Errors as `mask_facts`."""
    media = item.media_path if item.is_video else None
    status = None if media is None else status_of(media)
    return _facts(path, meaning, status_of(path), media, status, item.tier_values)


def look_at_masks(
    items: Sequence[DatasetItem], mask_directory: Path | None = None, unusable: Unusable | None = None
) -> tuple[tuple[DatasetItem, ...], dict[str, MaskFacts]]:
    """The facts of every mask file that is used, by its item's name, several read at once; and the items, of which
    videos know the masks' tiers: those of Build Masks where it filled `mask_directory`, else those that the masks
    without loss show. Errors as `mask_facts`, of which `unusable`, where it is given, keeps all."""
    keep = unusable or Unusable(mask_directory or Path())
    facts = dict(_facts_of([item for item in items if not item.is_video], keep))
    levels = {level for each in facts.values() if each.meaning is MaskMeaning.BRIGHTNESS for level in each.levels}
    known = () if mask_directory is None else noted_tiers(mask_directory)
    if known or (levels - {0, 255} and len(levels) <= MOST_TIERS):
        tiers = known or tuple(sorted(levels | {0, 255}))
        items = [replace(item, tier_values=tiers) if item.is_video else item for item in items]
    facts.update(_facts_of([item for item in items if item.is_video], keep))
    if unusable is None:
        keep.refuse()
    return tuple(items), facts


def noted_tiers(directory: Path) -> tuple[int, ...]:
    """The tiers of the masks in a folder that Build Masks filled, by its ledger; empty where they are not known, or are
    too many to tell apart."""
    try:
        noted = (record["details"].get(TIER_VALUES, ()) for _, record in stored_in(directory))
        tiers = {int(value) for values in noted for value in values}
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()  # a folder of somebody else's, or a damaged ledger, which the step itself speaks of
    return tuple(sorted(tiers)) if len(tiers) <= MOST_TIERS and all(0 <= tier <= 255 for tier in tiers) else ()


def _facts_of(items: Sequence[DatasetItem], unusable: Unusable) -> Iterator[tuple[str, MaskFacts]]:
    def look(item: DatasetItem) -> MaskFacts | None:
        with unusable.of(item.name):
            return _used_facts(item)
        return None

    found = zip(items, map_in_order(look, items, worker_count()), strict=True)
    return ((item.name, facts) for item, facts in found if facts is not None)


def _used_facts(item: DatasetItem) -> MaskFacts | None:
    return mask_facts(item) if uses_mask_file(item) else None


def mask_digest(item: DatasetItem, path: Path | None, meaning: MaskMeaning) -> str:
    """What a step's work depends on of a mask file: its hash, and how it is read where that is not as a plain grey
    mask; empty without a file. Errors as `mask_facts`."""
    if path is None:
        return ""
    key = file_facts(item, path, meaning).key
    return f"{hash_of(path)} {key}" if key else hash_of(path)


def mask_counts(facts: Iterable[MaskFacts]) -> dict[str, int]:
    """How many masks were read by which meaning: {"mask_read_brightness", …}, all of them always."""
    meanings = Counter(each.meaning for each in facts)
    return {
        f"mask_read_{meaning.value}": meanings[meaning] for meaning in MaskMeaning if meaning is not MaskMeaning.AUTO
    }


@lru_cache(maxsize=_REMEMBERED_FILES)
def _facts(
    path: Path,
    meaning: MaskMeaning,
    status: tuple[int, int],
    media: Path | None,
    media_status: tuple[int, int] | None,
    tiers: tuple[int, ...],
) -> MaskFacts:
    # Both statuses are there to be part of what the cache goes by.
    if media is None:
        return _of(read_mask(path, meaning))
    info = probe(media)
    shown = sorted({0, info.frames // 2, info.frames - 1})
    reads = [_of(read) for _, read in read_frame_masks(path, info, shown, meaning, tiers)]
    # A frame in which nobody is seen tells nothing of the others.
    telling = [each for each in reads if each.fraction > 0] or reads
    keys = sorted({each.key for each in telling} - {""})
    if path.suffix.lower() in VIDEO_SUFFIXES and probe(path).conversion:
        keys.append(probe(path).conversion)
    return MaskFacts(
        telling[0].meaning,
        telling[0].layout,
        min(each.lowest for each in reads),
        max(each.highest for each in reads),
        telling[0].full,
        sum(each.fraction for each in reads) / len(reads),
        "/".join(keys).replace(" ", ""),
        (),
        telling[0].note,
    )


def _of(read: ReadMask) -> MaskFacts:
    return MaskFacts(
        read.meaning, read.layout, read.lowest, read.highest, read.full, read.fraction, read.key, read.levels, read.note
    )
