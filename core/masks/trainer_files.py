"""The dataset files of other trainers, for folders of pictures and masks.

After the loaders of sd-scripts (February 2026), OneTrainer, AI Toolkit, SimpleTuner and diffusion-pipe (August 2026),
and of the reference system.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from ..dataset.items import LoadSettings


class Trainer(str, Enum):
    """Who a folder is written for."""

    SD_SCRIPTS = "sd-scripts"
    ONETRAINER = "onetrainer"
    AI_TOOLKIT = "ai-toolkit"
    SIMPLETUNER = "simpletuner"
    DIFFUSION_PIPE = "diffusion-pipe"
    BLISSFUL_TUNER = "blissful-tuner"
    MUSUBI_TUNER = "musubi-tuner"


@dataclass(frozen=True)
class ExportedFolder:
    """Pictures or videos and their masks (in one folder for OneTrainer), and how they are trained on. `resolution` is
    (width, height) in px; `aspects` are the least and the greatest width / height of its pictures or videos."""

    images: Path
    masks: Path
    resolution: tuple[int, int]
    repeats: int
    regularisation: bool
    settings: LoadSettings
    videos: bool = False
    aspects: tuple[float, float] = (1.0, 1.0)

    @property
    def side(self) -> int:
        """The side of the square of the same area, in px."""
        return round(math.sqrt(self.resolution[0] * self.resolution[1]))


def dataset_file(trainer: Trainer, folders: Sequence[ExportedFolder], output: Path) -> tuple[str, str, str]:
    """Name and content of the trainer's file, whose paths are absolute, and what to do with it."""
    return _WRITERS[trainer](folders, output)


def _sd_scripts(folders: Sequence[ExportedFolder], output: Path) -> tuple[str, str, str]:
    lines: list[str] = []
    for folder in folders:
        lines += [
            "[[datasets]]",
            f"resolution = {list(folder.resolution)}",
            *_buckets(_bounded(folder)),
            "",
            "[[datasets.subsets]]",
        ]
        lines += [f"image_dir = {_text(output / folder.images.name)}"]
        lines += [f"conditioning_data_dir = {_text(output / folder.masks.name)}", 'caption_extension = ".txt"']
        lines += [f"num_repeats = {folder.repeats}", ""]
    advice = (
        "Train with --dataset_config of this file and --masked_loss. Pictures are cut to the aspects of their buckets, "
        "because sd-scripts stretches masks to these where it crops photographs."
    )
    if any(folder.regularisation for folder in folders):
        advice += " It has no regularisation images beside masks, so they are written as others."
    return "dataset.toml", "\n".join(lines), advice


def _blissful(folders: Sequence[ExportedFolder], output: Path) -> tuple[str, str, str]:
    lines: list[str] = []
    for number, folder in enumerate(folders, 1):
        lines += _musubi_dataset(folder, output, number)
        lines += [*([] if folder.videos else [f"mask_directory = {_text(output / folder.masks.name)}"]), ""]
    advice = (
        "Cache with --dataset_config of this file, and train with --use_mask_loss; musubi-tuner itself has no masks."
    )
    return "dataset.toml", "\n".join(lines), advice


def _musubi(folders: Sequence[ExportedFolder], output: Path) -> tuple[str, str, str]:
    lines: list[str] = []
    for number, folder in enumerate(folders, 1):
        lines += [*_musubi_dataset(folder, output, number), ""]
    advice = (
        "Cache with --dataset_config of this file. musubi-tuner has no masked loss: it trains on the whole of every "
        "picture, and no masks are written."
    )
    return "dataset.toml", "\n".join(lines), advice


def _musubi_dataset(folder: ExportedFolder, output: Path, number: int) -> list[str]:
    """With no other keys than those that both trainers know: steps and bounds of buckets are their own."""
    kind, settings = "video" if folder.videos else "image", folder.settings.video
    lines = ["[[datasets]]", f"{kind}_directory = {_text(output / folder.images.name)}", 'caption_extension = ".txt"']
    lines += [f"cache_directory = {_text(output / f'cache_{number}')}", f"resolution = {list(folder.resolution)}"]
    lines += [*_switches(folder), f"num_repeats = {folder.repeats}"]
    if folder.videos:
        lines += [f"target_frames = {list(settings.lengths)}", f'frame_extraction = "{settings.extraction.value}"']
        lines += [f"frame_stride = {settings.frame_stride}", f"frame_sample = {settings.frame_sample}"]
        lines += [f"max_frames = {settings.max_frames}"]
        lines += [f"source_fps = {float(settings.source_fps)}"] if settings.source_fps else []
    return lines


def _diffusion_pipe(folders: Sequence[ExportedFolder], output: Path) -> tuple[str, str, str]:
    """With the buckets of its example, 0.5 to 2.0, and further ones at the same distance for pictures beyond these,
    which it would cut to the last one: of a picture of 1:3 a third."""
    least, most = (pick(folder.aspects[end] for folder in folders) for end, pick in enumerate((min, max)))
    below, above = (max(0, math.ceil(4 * math.log2(ratio) - 1e-6)) for ratio in (0.5 / least, most / 2))
    lines = [
        f"resolutions = [{list(folders[0].resolution)}]",
        "enable_ar_bucket = true",
        f"min_ar = {0.5 * 2 ** (-below / 4):.6g}",
        f"max_ar = {2.0 * 2 ** (above / 4):.6g}",
        f"num_ar_buckets = {9 + below + above}",
    ]
    lines += ["frame_buckets = [1]", "skip_empty_caption = false", ""]
    for folder in folders:
        lines += ["[[directory]]", f"path = {_text(output / folder.images.name)}"]
        lines += [f"mask_path = {_text(output / folder.masks.name)}", f"num_repeats = {folder.repeats}"]
        if folder.videos:
            # A video goes to the longest that it fills; one that fills none is left out without a word.
            lines += [f"frame_buckets = {sorted({1, *folder.settings.video.lengths})}"]
        lines += [f"resolutions = [{list(folder.resolution)}]", ""]
    return "dataset.toml", "\n".join(lines), "Name this file as dataset in its training file."


def _onetrainer(folders: Sequence[ExportedFolder], output: Path) -> tuple[str, str, str]:
    concepts = [
        {
            "__version": 2,
            "name": folder.images.name,
            "path": str(output / folder.images.name),
            "enabled": True,
            "type": "STANDARD",
            "include_subdirectories": False,
            "image_variations": 1,
            "text_variations": 1,
            "balancing": float(folder.repeats),
            "balancing_strategy": "REPEATS",
            "loss_weight": 1.0,
            "image": {
                "__version": 0,
                "enable_crop_jitter": False,
                "enable_random_flip": False,
                "enable_resolution_override": True,
                "resolution_override": str(folder.side),
            },
            "text": {"__version": 0, "prompt_source": "sample"},
        }
        for folder in folders
    ]
    advice = "Choose it as the concept file, and turn masked training on, with an unmasked weight of 0."
    return "concepts.json", json.dumps(concepts, indent=4, ensure_ascii=False) + "\n", advice


def _ai_toolkit(folders: Sequence[ExportedFolder], output: Path) -> tuple[str, str, str]:
    lines = ["datasets:"]
    for folder in folders:
        values: dict[str, object] = {
            "folder_path": str(output / folder.images.name),
            "mask_path": str(output / folder.masks.name),
            "mask_min_value": 0.0,
            "caption_ext": "txt",
            "caption_dropout_rate": 0.0,
            "num_repeats": folder.repeats,
            "is_reg": folder.regularisation,
            "resolution": [folder.side],
        }
        told = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
        lines += [f"  - {told[0]}", *(f"    {each}" for each in told[1:])]
    return "datasets.yaml", "\n".join(lines) + "\n", "Put its lines in the place of `datasets:` in the training file."


def _simpletuner(folders: Sequence[ExportedFolder], output: Path) -> tuple[str, str, str]:
    backends: list[dict[str, object]] = []
    for folder in folders:
        shared: dict[str, object] = {
            "type": "local",
            "metadata_backend": "discovery",
            "resolution": folder.side,
            "resolution_type": "pixel_area",
            "minimum_image_size": 0,
            "crop": False,
            # It cuts off what does not fit a bucket, too; at random, of a mask elsewhere than of its picture.
            "crop_style": "center",
        }
        masks = f"{folder.images.name}-masks"
        backends.append(
            {
                "id": folder.images.name,
                **shared,
                "dataset_type": "image",
                # Of the masks' backend it would look for captions beside the masks.
                "caption_strategy": "textfile",
                "conditioning_data": masks,
                "instance_data_dir": str(output / folder.images.name),
                "cache_dir_vae": str(output / "cache" / folder.images.name),
                # It counts how often they come again.
                "repeats": folder.repeats - 1,
                "is_regularisation_data": folder.regularisation,
            }
        )
        backends.append(
            {
                "id": masks,
                **shared,
                "dataset_type": "conditioning",
                "conditioning_type": "mask",
                "instance_data_dir": str(output / folder.masks.name),
            }
        )
    text = {"id": "text", "type": "local", "dataset_type": "text_embeds", "default": True}
    backends.append({**text, "cache_dir": str(output / "cache" / "text")})
    content = json.dumps(backends, indent=4, ensure_ascii=False) + "\n"
    return "multidatabackend.json", content, "Name it as data_backend_config."


def _bounded(folder: ExportedFolder) -> ExportedFolder:
    """With bounds of buckets, where there are none: sd-scripts would take 256 and 1024 px for them."""
    settings = folder.settings
    least, most = settings.min_bucket or settings.bucket_step, settings.max_bucket or 2 * max(folder.resolution)
    return replace(folder, settings=replace(settings, min_bucket=least, max_bucket=most))


def _buckets(folder: ExportedFolder) -> list[str]:
    settings = folder.settings
    lines = [*_switches(folder), f"bucket_reso_steps = {settings.bucket_step}"]
    bounds = {"min_bucket_reso": settings.min_bucket, "max_bucket_reso": settings.max_bucket}
    return [*lines, *(f"{name} = {bound}" for name, bound in bounds.items() if bound)]


def _switches(folder: ExportedFolder) -> list[str]:
    switches = {name: getattr(folder.settings, name) for name in ("enable_bucket", "bucket_no_upscale")}
    return [f"{name} = {str(value).lower()}" for name, value in switches.items()]


def _text(path: Path) -> str:
    """A path as TOML has it: JSON's escapes are TOML's too."""
    return json.dumps(str(path), ensure_ascii=False)


_Writer = Callable[[Sequence[ExportedFolder], Path], tuple[str, str, str]]
_WRITERS: dict[Trainer, _Writer] = {
    Trainer.SD_SCRIPTS: _sd_scripts,
    Trainer.ONETRAINER: _onetrainer,
    Trainer.AI_TOOLKIT: _ai_toolkit,
    Trainer.SIMPLETUNER: _simpletuner,
    Trainer.DIFFUSION_PIPE: _diffusion_pipe,
    Trainer.BLISSFUL_TUNER: _blissful,
    Trainer.MUSUBI_TUNER: _musubi,
}
