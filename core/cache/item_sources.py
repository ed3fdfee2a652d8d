"""Which files a cache entry is made from, by their role, and what is done to their colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..dataset.items import DatasetItem
from ..images import conversion_of
from ..video.reader import probe
from .entries import Source, control_role


def source_paths(item: DatasetItem, one_frame: bool) -> dict[str, Path]:
    """By their role. With `one_frame` the control image is one of the latent's frames, otherwise each is a reference of
    its own."""
    paths = {
        "image": item.media_path,
        "mask": item.mask_path,
        "correction": item.correction_path,
        "caption": item.caption_path,
    }
    controls = item.controls[:1] if one_frame else () if item.is_video else item.controls
    return {
        **{role: path for role, path in paths.items() if path is not None},
        **{control_role(number): path for number, path in enumerate(controls)},
    }


def describe_hole(item: DatasetItem, hashes: Mapping[str, str]) -> str:
    """What the hole of an inpainting model's picture is made from: the mask, wherever that is from."""
    own = (hashes.get("mask", ""), item.mask_meaning.value, item.settings.alpha_mask, hashes.get("correction", ""))
    return f"hole {own}"


def conversions(item: DatasetItem, sources: Sequence[Source]) -> tuple[str, ...]:
    """That the colours of the picture, of the video's frames or of the control images are converted; empty for all
    others, as it was before any were."""
    if item.is_video:
        conversion = probe(item.media_path).conversion
        return (conversion,) if conversion else ()
    own = conversion_of(item.media_path)
    roles = {source.role for source in sources}
    controls = {control_role(number): path for number, path in enumerate(item.controls)}
    return (
        *own,
        *(f"{role} {each}" for role, path in controls.items() if role in roles for each in conversion_of(path)),
    )
