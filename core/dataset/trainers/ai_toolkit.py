"""AI Toolkit's datasets: the `datasets` of a training file (YAML or JSON), or a file of these alone.

As of August 2026. Masks lie in `mask_path` under the photographs' names, their brightness, white full weight;
`mask_min_value` is the floor. A photograph without one counts nowhere where another of its batch has one, and
everywhere where none has, so that all must have one here. Folders are read with those below them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...mask_meaning import MaskMeaning
from ...paths import Folders, PathKind
from ...video.clips import FrameExtraction, VideoSettings
from ..caption_rule import CaptionRule
from ..items import LoadSettings
from ..scan import DatasetConfig
from .reasons import AUGMENTATION, CACHE, DROPOUT, ONE_STRENGTH, TAGS, WORKERS, all_of
from .table import Table
from .translation import Filter, Translation, translated

NAME = "AI Toolkit"
_LEFT = {
    **all_of("flip_x flip_y random_scale random_crop augments augmentations shuffle_augmentations", AUGMENTATION),
    **all_of("shuffle_tokens token_dropout_rate keep_tokens", TAGS),
    **all_of("caption_dropout_rate", DROPOUT),
    **all_of("cache_latents cache_latents_to_disk cache_tensors_to_disk cache_text_embeddings", CACHE),
    **all_of("cache_clip_vision_to_disk load_image_when_caching_latents cache_latents_num_workers", CACHE),
    **all_of("num_workers prefetch_factor debug bucket_tolerance guidance_type replay_transforms fps", WORKERS),
    **all_of("full_size_control_images control_transparent_color type batch_size", WORKERS),
    **all_of("diff_output_preservation diff_output_preservation_class", "dop_weight of Mask Loss Settings does that"),
    "prior_reg": "prior_weight of Mask Loss Settings does that",
}
_REFUSED = {
    "invert_mask": "set invert of Mask Loss Settings, which is for all datasets alike, and leave this out",
    "inpaint_path": "pictures are not inpainted",
    "unconditional_path": "each photograph is one target",
    "clip_image_path": "pictures are not given as conditions",
    "random_triggers": "write the words into the captions",
    "replacements": "write the words into the captions",
    "use_short_captions": "write one caption for each photograph",
    "controls": "draw control images beforehand, into a folder of their own",
    "control_from_same_folder": "give control images a folder of their own, with the photographs' names",
    "square_crop": "set buckets to false, which crops to squares",
    "auto_frame_count": "give num_frames",
    "do_i2v": "image_conditioning of Cache Latents does that",
    **all_of("loss_multiplier network_weight lora_weight scale extra_values", ONE_STRENGTH),
}
# What these are where nothing is said, which would else count as acting.
_NEUTRAL = {"loss_multiplier": 1, "network_weight": 1, "lora_weight": 1, "scale": 1, "type": "image"}


def datasets_of(content: object) -> tuple[list[Any], str] | None:
    """The datasets and the trigger word of a training file; None where it is something else."""
    if not isinstance(content, Mapping):
        return None
    inner = content.get("config", content)
    process = inner.get("process") if isinstance(inner, Mapping) else None
    for each in process if isinstance(process, list) else [content]:
        if isinstance(each, Mapping) and isinstance(each.get("datasets"), list):
            return each["datasets"], str(each.get("trigger_word") or "")
    return None


def read_ai_toolkit(datasets: list[Any], trigger: str, path: Path, folders: Folders) -> Translation:
    """Translate its datasets; `trigger` is the training's word. DatasetError naming the dataset and the key; PathError
    for folders."""
    found: list[DatasetConfig] = []
    messages: list[str] = []
    for number, values in enumerate(datasets, 1):
        table = Table(values, f"Dataset {number}", path, folders)
        for name, neutral in _NEUTRAL.items():
            if table.rest().get(name) == neutral:
                table.raw(name)
        messages += table.leave(_LEFT)
        table.refuse(_REFUSED)
        found += _datasets(table, trigger, messages)
        table.close()
    return translated(NAME, found, messages, Filter.BICUBIC)


def _datasets(table: Table, trigger: str, messages: list[str]) -> list[DatasetConfig]:
    """One for each of its resolutions, as AI Toolkit makes them."""
    folder, listed = table.text("folder_path"), table.text("dataset_path")
    given = listed or folder
    captions = given if given.lower().endswith(".json") else ""
    if captions:
        raise DatasetError(
            f"{table.where} is the file {captions}; give the folder of its photographs as folder_path, and the file as "
            "caption_file of Load Dataset."
        )
    directory = table.resolve(given, "folder_path", PathKind.DIRECTORY)
    alpha, masks = table.switch("alpha_mask"), table.folder("mask_path")
    if alpha:
        masks = None  # the alpha counts there, whatever mask_path says
    floor = table.number("mask_min_value", 0.0)
    if masks is not None or alpha:
        messages.append(
            "AI Toolkit divides by the mean weight of the whole batch, which is normalization batch of Mask Loss "
            f"Settings{f'; its mask_min_value {floor:g} is min_weight there' if floor else ''}."
        )
    control, regularisation = _control(table), table.switch("is_reg")
    word = table.text("trigger_word", trigger)
    buckets, repeats = table.switch("buckets", True), table.count("num_repeats", 1)
    # Captions get the word unless they are of regularisation images.
    rule = CaptionRule(default=table.text("default_caption"), trigger="" if regularisation else word)
    extension = table.text("caption_ext", ".txt")
    frames, shrink = table.count("num_frames", 1), table.switch("shrink_video_to_frames", True)
    table.switch("trim_auto_frame_count_tail")
    video = _video(frames, shrink, messages)
    return [
        DatasetConfig(
            directory=directory,
            mask_directory=masks,
            caption_extension=extension,
            control_directory=control,
            recursive=True,
            num_repeats=repeats,
            settings=LoadSettings(
                resolution=(side, side),
                enable_bucket=buckets,
                bucket_no_upscale=True,
                alpha_mask=alpha,
                require_mask=masks is not None,
                video=video,
                mask_meaning=MaskMeaning.BRIGHTNESS if masks is not None else MaskMeaning.AUTO,
            ),
            videos=frames > 1,
            # Every other batch is one of these.
            regularisation=0.5 if regularisation else 0.0,
            caption_rule=rule,
        )
        for side in _sides(table)
    ]


def _sides(table: Table) -> list[int]:
    given = table.raw("resolution")
    sides = given if isinstance(given, list) else [512 if given is None else given]
    if not sides or not all(isinstance(side, int) and side > 0 for side in sides):
        raise DatasetError(f"{table.where} has resolution = {given!r}; give a side in px, or a list of them.")
    return sides


def _control(table: Table) -> Path | None:
    several = [name for name in ("control_path_1", "control_path_2", "control_path_3") if table.rest().get(name)]
    given = table.rest().get("control_path")
    if len(several) > 1 or isinstance(given, list):
        raise DatasetError(f"{table.where} has several control paths; one control image each is used here.")
    name = several[0] if several else "control_path"
    found = table.folder(name)
    for each in ("control_path", "control_path_1", "control_path_2", "control_path_3"):
        table.raw(each)
    return found


def _video(frames: int, shrink: bool, messages: list[str]) -> VideoSettings:
    if frames == 1:
        return VideoSettings()
    if shrink:
        messages.append(
            f"AI Toolkit takes {frames} frames spread over a whole video (shrink_video_to_frames); here a clip is "
            f"{frames} frames that follow each other, from the beginning."
        )
    return VideoSettings(target_frames=(frames,), extraction=FrameExtraction.HEAD)
