"""Where everyone's hair is in a picture: by its parts, or by the weight that Build Masks gave to hair alone.

`_HW` pixel grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from ..dataset.items import DatasetItem
from ..dataset.load import uses_mask_file
from ..images import load_mask
from ..parts.part_map import PartMap
from ..parts.tiers import TierWeights
from ..people.own_hair import SeenHair
from .ledger import Record, records_in

HAIR_VALUES = "hair_values"
"""What Build Masks notes of a mask: [the value of hair, that of the background], or None where they are not telling."""


def hair_values(tiers: TierWeights) -> list[int] | None:
    """[hair, background], 0 to 255, where no other tier and no single class has one of these values."""
    others = {tiers.face, tiers.body, *(value for _, value in tiers.classes)}
    telling = tiers.hair != tiers.background and not others & {tiers.hair, tiers.background}
    return [tiers.hair, tiers.background] if telling else None


def known_hair_values(items: Sequence[DatasetItem], step: str) -> dict[str, tuple[int, int]]:
    """(hair, background) of the masks of which `step` noted them, by the name of the photograph."""
    ledgers: dict[Path, Mapping[str, Record]] = {}
    known: dict[str, tuple[int, int]] = {}
    for item in items:
        depth = len(PurePosixPath(item.name).parts) - 1
        if item.is_video or not uses_mask_file(item) or item.mask_path is None or len(item.mask_path.parents) <= depth:
            continue
        directory = item.mask_path.parents[depth]
        if directory not in ledgers:
            ledgers[directory] = records_in(directory, step)
        record = ledgers[directory].get(item.name)
        values = None if record is None else record.details.get(HAIR_VALUES)
        if isinstance(values, list) and len(values) == 2 and all(isinstance(value, int) for value in values):
            known[item.name] = values[0], values[1]
    return known


def seen_in(parts: PartMap) -> SeenHair:
    """What the parts of a picture say of everyone in it."""
    hair_HW, face_HW, body_HW = (parts.mask(parts.scheme.tier_ids(tier)) for tier in ("hair", "face", "body"))
    return SeenHair(hair_HW, face_HW | body_HW)


def read_seen_hair(item: DatasetItem, values: tuple[int, int], size: tuple[int, int]) -> SeenHair | None:
    """What the mask of the item shows; None where it is not of the picture's size (width, height): in between, values
    are nobody's. ImageError when it cannot be read."""
    if item.mask_path is None:
        return None
    mask_HW = load_mask(item.mask_path, item.mask_meaning)
    if mask_HW.shape != size[::-1]:
        return None
    hair, background = values
    hair_HW = mask_HW == hair
    return SeenHair(hair_HW, ~hair_HW & (mask_HW != background)) if hair_HW.any() else None
