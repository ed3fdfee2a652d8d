"""OneTrainer's concepts (JSON): a list of them, or a configuration that has it.

As of August 2026 (version 2 of a concept). The mask of `a.jpg` is `a-masklabel.png` beside it, its brightness, white
full weight; a photograph without one counts fully. What ends in `-condlabel` is no photograph. How much of the rest
counts is the training's unmasked weight there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...mask_meaning import MaskMeaning
from ...paths import Folders, PathKind
from ..caption_rule import CaptionRule
from ..captions import read_caption
from ..items import LoadSettings
from ..scan import DatasetConfig
from .reasons import AUGMENTATION, ONE_STRENGTH, TAGS, WORKERS, all_of
from .table import Table
from .translation import Filter, Translation, translated

NAME = "OneTrainer"
_SIDE = 1024
_LEFT = {
    **all_of("name seed concept_stats __version", WORKERS),
    **all_of("image_variations", AUGMENTATION),
    **all_of("text_variations", TAGS),
}
_IMAGE = all_of(
    "enable_crop_jitter enable_random_flip enable_fixed_flip enable_random_rotate enable_fixed_rotate "
    "enable_random_brightness enable_fixed_brightness enable_random_contrast enable_fixed_contrast "
    "enable_random_saturation enable_fixed_saturation enable_random_hue enable_fixed_hue "
    "enable_random_circular_mask_shrink enable_random_mask_rotate_crop",
    AUGMENTATION,
)
# Of what is switched off.
_IMAGE_IDLE = all_of(
    "__version random_rotate_max_angle random_brightness_max_strength random_contrast_max_strength "
    "random_saturation_max_strength random_hue_max_strength",
    AUGMENTATION,
)
_TEXT = all_of("enable_tag_shuffling tag_dropout_enable caps_randomize_enable", TAGS)
_TEXT_IDLE = all_of(
    "__version tag_delimiter keep_tags_count tag_dropout_mode tag_dropout_probability tag_dropout_special_tags_mode "
    "tag_dropout_special_tags tag_dropout_special_tags_regex caps_randomize_probability caps_randomize_mode "
    "caps_randomize_lowercase",
    TAGS,
)
_NO_RESOLUTION = (
    f"The resolution is in OneTrainer's configuration and not among its concepts; {_SIDE} is taken, unless a concept "
    "overrides it."
)
_UNMASKED = "OneTrainer's unmasked weight is in its configuration; here it is min_weight of Mask Loss Settings."


def concepts_of(content: object) -> list[Any] | None:
    """The concepts of a JSON file of OneTrainer; None where it is something else. DatasetError where they are in
    another file."""
    if isinstance(content, Mapping):
        if isinstance(content.get("concepts"), list):
            return content["concepts"]
        if content.get("concept_file_name"):
            raise DatasetError(
                f"This is a configuration of OneTrainer, whose concepts are in {content['concept_file_name']}; give "
                "that file."
            )
        return None
    if isinstance(content, list) and any(
        isinstance(each, Mapping)
        and "path" in each
        and {"text", "image", "balancing", "include_subdirectories"} & {*each}
        for each in content
    ):
        return content
    return None


def read_onetrainer(concepts: list[Any], path: Path, folders: Folders) -> Translation:
    """Translate concepts; those that are not enabled, or only for validation, are left out. DatasetError naming the
    concept and the key; PathError for folders."""
    datasets: list[DatasetConfig] = []
    messages: list[str] = [_UNMASKED]
    for number, values in enumerate(concepts, 1):
        table = Table(values, f"Concept {number}", path, folders)
        if not table.switch("enabled", True):
            messages.append(f"{table.where} is not enabled and left out.")
            continue
        kind = table.text("type", "STANDARD")
        if kind == "VALIDATION" or table.switch("validation_concept"):
            messages.append(f"{table.where} is for validation and left out; give it to validation_cache as its own.")
            continue
        if kind != "STANDARD":
            raise DatasetError(
                f"{table.where} is of the type {kind}, whose pictures are held to the base model; use prior_weight of "
                "Mask Loss Settings for that, and take the concept out."
            )
        messages += table.leave(_LEFT)
        datasets.append(_dataset(table, messages))
        table.close()
    if not datasets:
        raise DatasetError(f"{path} has no concept that is enabled and for training.")
    return translated(NAME, datasets, messages, Filter.LINEAR)


def _dataset(table: Table, messages: list[str]) -> DatasetConfig:
    image, text = table.below("image"), table.below("text")
    for each, idle, left in ((image, _IMAGE_IDLE, _IMAGE), (text, _TEXT_IDLE, _TEXT)):
        messages += each.leave(left)
        for name in idle:
            each.raw(name)
    side = _SIDE
    override, given = image.switch("enable_resolution_override"), image.text("resolution_override")
    if override:
        if not given.strip().isdecimal():
            raise DatasetError(f"{image.where} has resolution_override = {given!r}; one whole number is read here.")
        side = int(given)
    else:
        messages.append(_NO_RESOLUTION)
    if table.number("loss_weight", 1.0) != 1:
        raise DatasetError(f"{table.where} has a loss_weight, which is not done here: {ONE_STRENGTH}.")
    rule = _captions(text, messages)
    image.close()
    text.close()
    return DatasetConfig(
        directory=table.need_folder("path"),
        recursive=table.switch("include_subdirectories"),
        num_repeats=_repeats(table),
        settings=LoadSettings((side, side), bucket_step=64, mask_meaning=MaskMeaning.BRIGHTNESS),
        caption_rule=rule,
    )


def _repeats(table: Table) -> int:
    given = table.number("balancing", table.number("repeats", 1.0))
    strategy = table.text("balancing_strategy", "REPEATS")
    if strategy != "REPEATS" or given != int(given) or given < 1:
        raise DatasetError(
            f"{table.where} is balanced by {given:g} {strategy}; here photographs come a whole number of times: set "
            "REPEATS and 1 or more."
        )
    return int(given)


def _captions(text: Table, messages: list[str]) -> CaptionRule:
    source, prompts = text.text("prompt_source", "sample"), text.text("prompt_path")
    if source == "sample":
        messages.append("OneTrainer draws one line of a caption's file each time; here it is the first.")
        return CaptionRule(first_line=True)
    if source == "filename":
        return CaptionRule(from_name=True)
    if source != "concept":
        raise DatasetError(f"{text.where} has prompt_source = {source!r}; sample, filename and concept are read.")
    path = text.resolve(prompts, "prompt_path", PathKind.FILE)
    prompts_of_all = read_caption(path)
    if not prompts_of_all:
        raise DatasetError(f"{path} holds no prompt; write the caption of the concept into it.")
    messages.append(f"{path.name}: its first line is the caption of the whole concept.")
    return CaptionRule(always=prompts_of_all, first_line=True)
