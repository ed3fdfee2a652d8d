"""Where everyone's hair is in a picture: by its parts, or by the weight that Build Masks gave to hair alone.

`_HW` pixel grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ..dataset.items import DatasetItem
from ..dataset.ledger_records import Record, records_in
from ..dataset.load import uses_mask_file
from ..images import load_mask
from ..parts.part_map import PartMap
from ..parts.tiers import TierWeights
from ..people.own_hair import SeenHair
from ..video.masks import read_mask_frames
from ..video.reader import probe, read_frames
from .each_item import segmented_frames

HAIR_VALUES = "hair_values"
"""What Build Masks notes of a mask: [the value of hair, that of the background], and of a video's every how many frames
it was segmented; or None where the values are not telling."""


def hair_values(tiers: TierWeights, video_every: int | None = None) -> list[int] | None:
    """[hair, background], 0 to 255, where no other tier and no single class has one of these values; and of a video
    every how many frames it is segmented."""
    others = {tiers.face, tiers.body, *(value for _, value in tiers.classes)}
    telling = tiers.hair != tiers.background and not others & {tiers.hair, tiers.background}
    return [tiers.hair, tiers.background, *([] if video_every is None else [video_every])] if telling else None


def known_hair_values(items: Sequence[DatasetItem], step: str) -> dict[str, tuple[int, ...]]:
    """What `step` noted of the masks that tell hair, as `hair_values` gives it, by the item's name."""
    ledgers: dict[Path, Mapping[str, Record]] = {}
    known: dict[str, tuple[int, ...]] = {}
    for item in items:
        depth = len(PurePosixPath(item.name).parts) - 1
        if not uses_mask_file(item) or item.mask_path is None or len(item.mask_path.parents) <= depth:
            continue
        directory = item.mask_path.parents[depth]
        if directory not in ledgers:
            ledgers[directory] = records_in(directory, step)
        record = ledgers[directory].get(item.name)
        values = None if record is None else record.details.get(HAIR_VALUES)
        if isinstance(values, list) and (noted := _sound_values(values, item.is_video)) is not None:
            known[item.name] = noted
    return known


def _sound_values(values: list[object], is_video: bool) -> tuple[int, ...] | None:
    """Values that are sound. An earlier version noted of videos what it did of photographs, which does not say whose
    frame a mask is."""
    whole = tuple(value for value in values if isinstance(value, int))
    if len(whole) != len(values) or len(whole) != (3 if is_video else 2) or any(every < 1 for every in whole[2:]):
        return None
    return whole


def seen_in(parts: PartMap) -> SeenHair:
    """What the parts of a picture say of everyone in it."""
    hair_HW, face_HW, body_HW = (parts.mask(parts.scheme.tier_ids(tier)) for tier in ("hair", "face", "body"))
    return SeenHair(hair_HW, face_HW | body_HW)


def read_seen_hair(item: DatasetItem, values: tuple[int, ...], size: tuple[int, int]) -> SeenHair | None:
    """What the mask of the item shows; None where it is not of the picture's size (width, height): in between, values
    are nobody's. ImageError when it cannot be read."""
    if item.mask_path is None:
        return None
    return _seen_hair(load_mask(item.mask_path, item.mask_meaning), values, size)


def read_frames_with_hair(
    item: DatasetItem, wanted: Sequence[int], values: tuple[int, ...] | None
) -> Iterator[tuple[int, np.ndarray, SeenHair | None]]:
    """Yield (number, rgb_HWC, what the video's mask shows of that frame) for the frames `wanted` (ascending).

    A mask shows what is in the frame that it was made from alone: the frames up to the next one bear the same mask.
    Errors as `read_frames` and `read_mask_frames`.
    """
    info = probe(item.media_path)
    own = frozenset[int]() if values is None else frozenset(segmented_frames(info.frames, values[2]))
    with_own = [number for number in wanted if number in own]
    masks = iter(())
    if item.mask_path is not None and with_own:
        masks = read_mask_frames(item.mask_path, info, with_own, item.mask_meaning, item.tier_values)
    for number, rgb_HWC in read_frames(item.media_path, wanted):
        mask_HW = next(masks)[1] if values is not None and number in own else None
        seen = None if values is None or mask_HW is None else _seen_hair(mask_HW, values, info.size)
        yield number, rgb_HWC, seen


def _seen_hair(mask_HW: np.ndarray, values: tuple[int, ...], size: tuple[int, int]) -> SeenHair | None:
    if mask_HW.shape != size[::-1]:
        return None
    hair, background = values[:2]
    hair_HW = mask_HW == hair
    return SeenHair(hair_HW, ~hair_HW & (mask_HW != background)) if hair_HW.any() else None
