"""sd-scripts' dataset file (TOML): `[general]`, `[[datasets]]` and their `[[datasets.subsets]]`.

As of February 2026. A subset with `conditioning_data_dir` has masks there, the red channel of pictures with the
photographs' names, white full weight; without `masked_loss` on its command line it does not use them. A photograph
without its mask is an error there. With `alpha_mask` the alpha is the mask, and a photograph without one counts fully.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...mask_meaning import MaskMeaning
from ...paths import Folders, PathKind
from ..caption_rule import CaptionRule
from ..config_values import Kind
from ..items import LoadSettings
from ..scan import DatasetConfig
from .reasons import AUGMENTATION, BATCH, DROPOUT, ONE_STRENGTH, TAGS, VALIDATION, WORKERS, all_of
from .table import Table
from .translation import Filter, Translation, translated

NAME = "sd-scripts"
_LEFT = {
    **all_of("color_aug flip_aug face_crop_aug_range random_crop", AUGMENTATION),
    **all_of("shuffle_caption keep_tokens keep_tokens_separator secondary_separator caption_separator", TAGS),
    **all_of("token_warmup_min token_warmup_step caption_tag_dropout_rate", TAGS),
    **all_of("caption_dropout_rate caption_dropout_every_n_epochs", DROPOUT),
    **all_of("validation_seed validation_split", VALIDATION),
    **all_of("custom_attributes cache_info debug_dataset max_token_length prior_loss_weight", WORKERS),
    "batch_size": BATCH,
    "resize_interpolation": "photographs are shrunk by area and enlarged by Lanczos here",
}
_REFUSED = {
    "enable_wildcard": "write one caption into each file, without {a|b}",
    "network_multiplier": ONE_STRENGTH,
}
_NOT_NORMALISED = (
    "sd-scripts divides the weighted error by the number of elements; here by the weights, unless normalization of "
    "Mask Loss Settings is none."
)


def is_sd_scripts(content: Mapping[str, Any]) -> bool:
    """Whether a TOML file is one of sd-scripts: its datasets have subsets."""
    tables = content.get("datasets")
    return isinstance(tables, list) and any(isinstance(table, dict) and "subsets" in table for table in tables)


def read_sd_scripts(content: Mapping[str, Any], path: Path, folders: Folders) -> Translation:
    """Translate its content. DatasetError naming the table and the key; PathError for folders."""
    general = Table(content.get("general", {}), "[general]", path, folders).rest()
    datasets: list[DatasetConfig] = []
    messages: list[str] = []
    for number, values in enumerate(content["datasets"], 1):
        where = f"[[datasets]] number {number}"
        own = Table(values, where, path, folders)
        subsets = own.raw("subsets")
        if not isinstance(subsets, list) or not subsets:
            raise DatasetError(f"{own.where} has no [[datasets.subsets]]; add one with an image_dir.")
        for place, subset in enumerate(subsets, 1):
            named = f"[[datasets.subsets]] number {place} of {where}"
            inner = Table(subset, named, path, folders).rest()
            table = Table({**general, **own.rest(), **inner}, named, path, folders)
            messages += table.leave(_LEFT)
            table.refuse(_REFUSED)
            datasets.append(_dataset(table, messages))
            table.close()
    return translated(NAME, datasets, messages, Filter.AREA)


def _dataset(table: Table, messages: list[str]) -> DatasetConfig:
    if "resolution" not in table:
        raise DatasetError(
            f"{table.where} has no resolution, which is then on sd-scripts' command line; write it there."
        )
    size = table.take("resolution", Kind.SIZE, 0)
    metadata = table.text("metadata_file")
    masks = table.folder("conditioning_data_dir")
    alpha = table.switch("alpha_mask")
    if masks is not None or alpha:
        messages.append(_NOT_NORMALISED)
    prefix, suffix = table.text("caption_prefix"), table.text("caption_suffix")
    settings = LoadSettings(
        resolution=(size, size) if isinstance(size, int) else (size[0], size[1]),
        enable_bucket=table.switch("enable_bucket"),
        bucket_no_upscale=table.switch("bucket_no_upscale"),
        bucket_step=table.count("bucket_reso_steps", 64),
        min_bucket=table.take("min_bucket_reso", Kind.BOUND, 256),
        max_bucket=table.take("max_bucket_reso", Kind.BOUND, 1024),
        alpha_mask=alpha,
        require_mask=masks is not None,
        mask_meaning=MaskMeaning.BRIGHTNESS if masks is not None else MaskMeaning.AUTO,
    )
    return DatasetConfig(
        directory=table.need_folder("image_dir"),
        mask_directory=masks,
        caption_extension=table.text("caption_extension", ".caption"),
        num_repeats=table.count("num_repeats", 1),
        settings=settings,
        videos=False,
        caption_file=table.resolve(metadata, "metadata_file", PathKind.FILE) if metadata else None,
        # As many of them as of the others come in an epoch there.
        regularisation=0.5 if table.switch("is_reg") else 0.0,
        caption_rule=CaptionRule(
            first_line=not metadata,
            default=table.text("class_tokens"),
            prefix=f"{prefix} " if prefix else "",
            suffix=f" {suffix}" if suffix else "",
        ),
    )
