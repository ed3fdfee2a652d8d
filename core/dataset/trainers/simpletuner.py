"""SimpleTuner's data backends (multidatabackend.json).

As of August 2026. A dataset of images names its masks by `conditioning_data`: another backend, of `conditioning_type`
mask (its red channel is the weight, white full) or segmentation (everything above black), with the photographs' names;
each photograph must have one. Folders are read with those below them; `repeats` counts how often pictures come again.
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
from .reasons import BATCH, CACHE, TAGS, WORKERS, all_of
from .table import Table
from .translation import Filter, Translation, translated

NAME = "SimpleTuner"
_OTHERS = {"text_embeds", "image_embeds", "conditioning_image_embeds"}
# Megapixels that it takes for these sides; of others it takes a million pixels each.
_USUAL = {0.25: 512, 0.5: 768, 1.0: 1024, 2.0: 1536, 4.0: 2048}
_LEFT = {
    **all_of("cache_dir_vae cache_dir vae_cache_clear_each_epoch hash_filenames preserve_data_backend_cache", CACHE),
    **all_of("write_batch_size vae_batch_size text_encoder_batch_size skip_file_discovery metadata_backend", WORKERS),
    **all_of("metadata_update_interval text_embeds image_embeds conditioning_image_embeds", WORKERS),
    **all_of("metadata_backend id type source_dataset_id slider_strength default encrypted", WORKERS),
    **all_of("caption_shuffle disable_multiline_split", TAGS),
    "train_batch_size": BATCH,
    "probability": "a dataset comes as often as its photographs times repeats",
    "probability_end": "a dataset comes as often as its photographs times repeats",
    "crop_style": "crops are about the centre",
    "maximum_image_size": "larger photographs are shrunk at once",
    "target_downsample_size": "larger photographs are shrunk at once",
}
_REFUSED = {
    "is_regularisation_data": "what comes of these pictures is held to the base model there; prior_weight of Mask Loss "
    "Settings does that",
    "is_regularization_data": "what comes of these pictures is held to the base model there; prior_weight of Mask Loss "
    "Settings does that",
    "conditioning": "draw masks and control images beforehand, into a folder of their own",
    "minimum_image_size": "take small pictures out of the folder, and set it to 0",
    "minimum_aspect_ratio": "take such pictures out of the folder",
    "maximum_aspect_ratio": "take such pictures out of the folder",
    "crop_aspect_buckets": "buckets follow the photographs' aspects",
}


def backends_of(content: object) -> list[Any] | None:
    """The backends of a JSON file of SimpleTuner; None where it is something else."""
    if isinstance(content, list) and any(isinstance(each, Mapping) and _is_backend(each) for each in content):
        return content
    return None


def read_simpletuner(backends: list[Any], path: Path, folders: Folders) -> Translation:
    """Translate its datasets of images and videos. DatasetError naming the backend and the key; PathError for
    folders."""
    datasets: list[DatasetConfig] = []
    messages: list[str] = []
    by_id = {str(each.get("id")): each for each in backends if isinstance(each, Mapping)}
    for number, values in enumerate(backends, 1):
        table = Table(values, f"Backend {number}", path, folders)
        name, off = table.text("id"), table.switch("disabled") or table.switch("disable")
        kind = table.text("dataset_type", "image")
        table.where = f"{name or f'backend {number}'} of {path}"
        if off or kind in _OTHERS or kind == "conditioning":
            messages += [f"{table.where} is disabled and left out."] if off else []
            continue
        if kind not in ("image", "video"):
            raise DatasetError(f"{table.where} is of the type {kind}; images and videos are read.")
        if table.text("type", "local") != "local":
            raise DatasetError(f"{table.where} is not local; bring its files into a folder.")
        messages += table.leave(_LEFT)
        table.refuse(_REFUSED)
        datasets.append(_dataset(table, kind, by_id, folders, messages))
        table.close()
    if not datasets:
        raise DatasetError(f"{path} has no dataset of images or videos.")
    return translated(NAME, datasets, messages, Filter.LANCZOS)


def _dataset(
    table: Table, kind: str, by_id: Mapping[str, Mapping[str, Any]], folders: Folders, messages: list[str]
) -> DatasetConfig:
    masks, meaning = _masks(table, by_id, folders, messages)
    settings = LoadSettings(
        **_size(table, messages),
        bucket_step=64,
        require_mask=masks is not None,
        video=_video(table.raw("video")) if kind == "video" else VideoSettings(),
        mask_meaning=meaning,
    )
    return DatasetConfig(
        directory=table.need_folder("instance_data_dir"),
        mask_directory=masks,
        recursive=True,
        num_repeats=table.take("repeats", Kind.BOUND, 0) + 1,
        settings=settings,
        images=kind == "image",
        videos=kind == "video",
        caption_rule=_captions(table, messages),
    )


def _masks(
    table: Table, by_id: Mapping[str, Mapping[str, Any]], folders: Folders, messages: list[str]
) -> tuple[Path | None, MaskMeaning]:
    named = table.raw("conditioning_data")
    names = [named] if isinstance(named, str) else list(named or [])
    if not names:
        return None, MaskMeaning.AUTO
    if len(names) > 1:
        raise DatasetError(f"{table.where} has several conditioning_data ({', '.join(names)}); one of masks is read.")
    if names[0] not in by_id:
        raise DatasetError(f"{table.where} names {names[0]} as conditioning_data, and there is no such backend.")
    other = Table(by_id[names[0]], names[0], table.path, folders)
    kind = other.text("conditioning_type", "")
    meanings = {"mask": MaskMeaning.BRIGHTNESS, "segmentation": MaskMeaning.NONZERO}
    if kind not in meanings:
        raise DatasetError(f"{other.where} has conditioning_type = {kind!r}; mask and segmentation are read.")
    messages.append(
        "SimpleTuner does not divide by the weights; here the loss is, unless normalization of Mask Loss Settings is "
        "none."
    )
    return other.need_folder("instance_data_dir"), meanings[kind]


def _size(table: Table, messages: list[str]) -> dict[str, Any]:
    kind, size = table.text("resolution_type", "pixel"), table.number("resolution", 1024)
    if kind == "pixel":
        raise DatasetError(
            f"{table.where} sizes photographs by their shorter side (resolution_type pixel); write pixel_area, "
            "which is by the area, as here."
        )
    if kind not in ("area", "pixel_area") or size <= 0:
        raise DatasetError(f"{table.where} has resolution {size:g} of the type {kind!r}; give pixel_area or area.")
    usual = next((side for area, side in _USUAL.items() if abs(size - area) < 0.05), round(1000 * math.sqrt(size)))
    side = usual if kind == "area" else round(size)
    aspect = table.text("crop_aspect", "square")
    square = table.switch("crop", True) and aspect == "square"
    if not square and aspect not in ("square", "preserve"):
        messages.append(f"{table.where} crops to the aspect {aspect}; here it is the bucket nearest to the photograph.")
    return {"resolution": (side, side), "enable_bucket": not square}


def _captions(table: Table, messages: list[str]) -> CaptionRule:
    strategy, prompt = table.text("caption_strategy", "filename"), table.text("instance_prompt")
    only, before = table.switch("only_instance_prompt"), table.switch("prepend_instance_prompt")
    if strategy == "instanceprompt" or only:
        if not prompt:
            raise DatasetError(f"{table.where} has no instance_prompt, which is to be every caption.")
        return CaptionRule(always=prompt)
    if strategy not in ("textfile", "filename"):
        raise DatasetError(
            f"{table.where} has caption_strategy = {strategy!r}; textfile, filename and instanceprompt are read."
        )
    if strategy == "textfile":
        messages.append("SimpleTuner draws one line of a caption's file each time; here it is the first.")
    return CaptionRule(
        first_line=strategy == "textfile", from_name=strategy == "filename", prefix=f"{prompt} " if before else ""
    )


def _video(given: Any) -> VideoSettings:
    frames = given.get("num_frames") if isinstance(given, Mapping) else None
    if not isinstance(frames, int) or frames < 1:
        return VideoSettings()
    return VideoSettings(target_frames=(frames,), extraction=FrameExtraction.HEAD)


def _is_backend(each: Mapping[Any, Any]) -> bool:
    return "id" in each and bool(
        {"instance_data_dir", "dataset_type", "metadata_backend", "caption_strategy"} & {*each}
    )
