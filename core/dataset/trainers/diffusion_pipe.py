"""diffusion-pipe's dataset file (TOML): settings for all, and a `[[directory]]` for each folder.

As of August 2026. Masks lie in `mask_path` under the photographs' names, white full weight, in the size of their
photographs; their first channel counts. A photograph without one counts fully.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...mask_meaning import MaskMeaning
from ...paths import Folders
from ...video.clips import FrameExtraction, VideoSettings
from ..caption_rule import CaptionRule
from ..config_values import Kind
from ..items import LoadSettings
from ..scan import DatasetConfig
from .reasons import TAGS, WORKERS, all_of
from .table import Table
from .translation import Filter, Translation, translated

NAME = "diffusion-pipe"
_CAPTIONS = "captions.json"
_LEFT = {
    **all_of("shuffle_tags cache_shuffle_num cache_shuffle_delimiter", TAGS),
    **all_of("shuffle_metadata", WORKERS),
    **all_of("min_ar max_ar num_ar_buckets ar_buckets", "buckets follow the photographs' aspects, in steps of 16 px"),
}
_REFUSED = {
    "size_buckets": "write resolutions and enable_ar_bucket instead",
    "default_mask_file": "give each photograph its own mask in mask_path",
    "online_captions": "write captions into text files, one for each photograph",
}
_SQUARE = "With enable_ar_bucket off every picture is cropped to a square, there and here."
_SKIPPED = (
    "diffusion-pipe leaves photographs without a caption out unless skip_empty_caption is false; here they are trained "
    "with an empty one."
)


def is_diffusion_pipe(content: Mapping[str, Any]) -> bool:
    """Whether a TOML file is one of diffusion-pipe."""
    return isinstance(content.get("directory"), list)


def read_diffusion_pipe(content: Mapping[str, Any], path: Path, folders: Folders) -> Translation:
    """Translate its content. DatasetError naming the table and the key; PathError for folders."""
    shared = {key: value for key, value in content.items() if key != "directory"}
    datasets: list[DatasetConfig] = []
    messages: list[str] = []
    for number, values in enumerate(content["directory"], 1):
        where = f"[[directory]] number {number}"
        table = Table({**shared, **Table(values, where, path, folders).rest()}, where, path, folders)
        messages += table.leave(_LEFT)
        table.refuse(_REFUSED)
        datasets += _datasets(table, messages)
        table.close()
    return translated(NAME, datasets, messages, Filter.BICUBIC_PLAIN)


def _datasets(table: Table, messages: list[str]) -> list[DatasetConfig]:
    """One for each of its resolutions: diffusion-pipe trains every picture at all of them."""
    directory, masks = table.need_folder("path"), table.folder("mask_path")
    control = table.folder("control_path")
    buckets = table.switch("enable_ar_bucket")
    repeats = table.count("num_repeats", 1)
    prefix = table.text("caption_prefix")
    frames = table.take("frame_buckets", Kind.COUNTS, [1])
    messages += [_SKIPPED] if table.switch("skip_empty_caption", True) else []
    messages += [] if buckets else [_SQUARE]
    captions = directory / _CAPTIONS
    return [
        DatasetConfig(
            directory=directory,
            mask_directory=masks,
            control_directory=control,
            num_repeats=repeats,
            settings=LoadSettings(
                resolution=(side, side),
                enable_bucket=buckets,
                video=_video(frames, table),
                mask_meaning=MaskMeaning.BRIGHTNESS if masks is not None else MaskMeaning.AUTO,
            ),
            caption_file=captions if captions.is_file() else None,
            caption_rule=CaptionRule(prefix=prefix),
        )
        for side in _sides(table)
    ]


def _sides(table: Table) -> list[int]:
    """Sides in px of squares of the areas that are trained."""
    given = table.raw("resolutions")
    if not isinstance(given, list) or not given:
        raise DatasetError(f"{table.where} has no resolutions; write such as resolutions = [1024].")
    sides: list[int] = []
    for each in given:
        pair = [each, each] if isinstance(each, (int, float)) else each
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, (int, float)) and n > 0 for n in pair)):
            raise DatasetError(f"{table.where} has {each!r} among its resolutions; give sides, or [width, height].")
        sides.append(round(math.sqrt(pair[0] * pair[1])))
    return sorted(set(sides))


def _video(frames: list[int], table: Table) -> VideoSettings:
    longer = sorted({count for count in frames if count > 1})
    if len(longer) > 1:
        raise DatasetError(
            f"{table.where} has frame_buckets {frames}, the longest of which fits a video counts there; give one above "
            "1, and a [[directory]] of its own for shorter videos."
        )
    return VideoSettings(target_frames=tuple(longer) or (1,), extraction=FrameExtraction.HEAD)
