"""Folders that other trainers train from with our masks: upright sRGB pictures, masks of the same size, captions, and
the trainer's own dataset file.

Every picture gets a mask file, white where it has none, because trainers disagree on what a missing one means. Masks
are 8-bit grey, white is full weight, as all of these read them. Videos are copied as they are; one whose mask the
trainer would not read is left out rather than trained on without it.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from ..alpha import weights_to_uint8
from ..dataset.buckets import bucket_for
from ..dataset.files import check_case
from ..dataset.items import Dataset, DatasetItem
from ..dataset.load import LoadedItem, load_item, load_still
from ..errors import DatasetError
from ..files import atomic_write, write_text
from ..first_names import first_names
from ..images import IMAGE_SUFFIXES, save_image
from ..progress import SILENT, Progress
from ..resample import fit_mask
from ..warning import warn
from .trainer_files import ExportedFolder, Trainer, dataset_file

# Beside a photograph, for OneTrainer.
_MASK_ENDING = "-masklabel"
_ENDINGS = (_MASK_ENDING, "-condlabel")


class _State(str, Enum):
    FILE = "mask"
    WHITE = "white"
    NONE = "none"


@dataclass(frozen=True)
class _Group:
    """Photographs or videos of one folder: trainers give these settings to whole folders."""

    items: tuple[DatasetItem, ...]
    resolution: tuple[int, int]
    repeats: int
    regularisation: bool
    videos: bool


def export_folders(
    dataset: Dataset, output: Path, trainer: Trainer, progress: Progress = SILENT
) -> tuple[Path, dict[str, object]]:
    """Write the photographs of a dataset for a trainer, below a new or empty folder.

    Crops are written as pictures of their own. Captions become one line, as some trainers take each line for a caption.
    Returns the trainer's dataset file and the report {"items": [{"name", "file", "mask": mask|white|none, "coverage"}],
    "left_out": [{"name", "reason"}], "counts", "messages"}. DatasetError where the folder holds something, where two
    items would have one name, where nothing is left to write, or a name means something else to the trainer; and
    whatever reading an item raises.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DatasetError(f"{output} holds something already; give a new folder, so that nothing is mixed up.")
    reasons = {item.name: why for item in dataset.items if item.is_video and (why := why_no_video(item, trainer))}
    written = [item for item in dataset.items if item.name not in reasons]
    if not written:
        why = f" ({next(iter(reasons.values()))})" if reasons else ""
        raise DatasetError(f"There is nothing in the dataset that {trainer.value} would train on with its mask{why}.")
    messages: list[str] = []
    for why in dict.fromkeys(reasons.values()):
        left = [name for name, reason in reasons.items() if reason == why]
        messages.append(warn(f"{len(left)} videos are not exported ({first_names(left)}): {why}."))
    names = _flat_names(written, trainer)
    groups = _groups(written)
    rows: list[dict[str, object]] = []
    folders: list[ExportedFolder] = []
    for number, group in enumerate(groups, 1):
        folder = _folder(output, trainer, group, number if len(groups) > 1 else 0)
        aspects: list[float] = []
        for item in group.items:
            progress.update(len(rows), len(written), item.name)
            row, (width, height) = _write(item, names[item.name], folder, output, trainer)
            rows.append(row)
            aspects.append(width / height)
        folders.append(replace(folder, aspects=(min(aspects), max(aspects))))
    check_case(names.values(), output)
    progress.update(len(rows), len(written))
    file, content, advice = dataset_file(trainer, folders, output.resolve())
    write_text(output / file, content)
    states = Counter(row["mask"] for row in rows)
    videos = sum(item.is_video for item in written)
    counted = f"{len(rows) - videos} photographs" + (f" and {videos} videos" if videos else "")
    messages += [f"{counted} in {output}; {file} names them for {trainer.value}. {advice}"]
    if states[_State.WHITE.value]:
        messages.append(f"{states[_State.WHITE.value]} of them had no mask and have a white one, which counts fully.")
    bare = [item.name for item in written if not item.caption.strip()]
    if bare and trainer is Trainer.SIMPLETUNER:
        messages.append(
            warn(
                f"{len(bare)} of them have no caption ({first_names(bare)}), at which SimpleTuner stops unless its "
                "caption_dropout_probability is above 0."
            )
        )
    counts = {"items": len(rows), "videos_left_out": len(reasons), "folders": len(folders)}
    return output / file, {
        "items": rows,
        "left_out": [{"name": name, "reason": why} for name, why in reasons.items()],
        "counts": {**counts, **{f"mask_{state.value}": states[state.value] for state in _State}},
        "messages": messages,
    }


def why_no_video(item: DatasetItem, trainer: Trainer) -> str:
    """Why a video is not written for a trainer; empty where it is."""
    if item.is_cut:
        return "crops of videos are not cut; export the dataset without Crops"
    if trainer is Trainer.MUSUBI_TUNER:
        return ""
    if trainer is Trainer.BLISSFUL_TUNER:
        cache = "it reads no masks of videos from folders; maskloss cache export writes the files that it caches"
        return cache if item.mask_path is not None or item.correction_path is not None else ""
    if trainer is Trainer.DIFFUSION_PIPE:
        if max(item.settings.video.lengths) < 2:
            return "their clips have one frame (target_frames), and it trains no single frames of videos"
        moves = item.mask_path is not None and item.mask_path.suffix.lower() not in IMAGE_SUFFIXES
        moves = moves or item.correction_path is not None
        return "their masks move, and it reads one picture for all of a video" if moves else ""
    return "this trainer is not known to read videos with masks"


def _flat_names(items: Sequence[DatasetItem], trainer: Trainer) -> dict[str, str]:
    """Names of files without folders, by items' names."""
    names = {item.name: item.name.replace("/", "__") for item in items}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        shared = [item for item, name in names.items() if name == twice[0]]
        raise DatasetError(f"{' and '.join(shared[:2])} would both be written as {twice[0]}; rename one of them.")
    for name in names.values():
        if trainer is Trainer.ONETRAINER and name.endswith(_ENDINGS):
            raise DatasetError(f"{trainer.value} takes {name} for a mask or a control image by its end; rename it.")
        if any(letter in name for letter in "*?["):
            raise DatasetError(f"{name} has one of * ? [ in its name, which trainers take for a pattern; rename it.")
    return names


def _groups(items: Sequence[DatasetItem]) -> list[_Group]:
    together: dict[tuple[object, ...], list[DatasetItem]] = {}
    for item in items:
        clips = item.settings.video if item.is_video else None
        key = (item.settings.resolution, item.repeats, item.regularisation > 0, clips)
        together.setdefault(key, []).append(item)
    return [
        _Group(tuple(some), some[0].settings.resolution, some[0].repeats, some[0].regularisation > 0, some[0].is_video)
        for some in together.values()
    ]


def _folder(output: Path, trainer: Trainer, group: _Group, number: int) -> ExportedFolder:
    ending = f"_{number}" if number else ""
    images = output / f"{'videos' if group.videos else 'images'}{ending}"
    masks = images if trainer is Trainer.ONETRAINER else output / f"masks{ending}"
    settings = group.items[0].settings
    return ExportedFolder(images, masks, group.resolution, group.repeats, group.regularisation, settings, group.videos)


def _cut_to_bucket(loaded: LoadedItem, item: DatasetItem) -> LoadedItem:
    """About its centre, to the aspect of its bucket: sd-scripts crops photographs to that and stretches masks."""
    height, width = loaded.rgb_HWC.shape[:2]
    across, down = bucket_for((width, height), item.settings)
    wide, high = min(width, round(height * across / down)), min(height, round(width * down / across))
    left, top = (width - wide) // 2, (height - high) // 2
    part = slice(top, top + high), slice(left, left + wide)
    weights_HW = loaded.weights_HW
    if weights_HW is not None:
        weights_HW = fit_mask(weights_HW, (width, height), (width, height), keep_mean=True)[part]
    return replace(loaded, rgb_HWC=loaded.rgb_HWC[part], weights_HW=weights_HW)


def _write(
    item: DatasetItem, name: str, folder: ExportedFolder, output: Path, trainer: Trainer
) -> tuple[dict[str, object], tuple[int, int]]:
    """The row of the report, and the (width, height) of what was written."""
    media = folder.images / f"{name}{item.media_path.suffix.lower() if item.is_video else '.png'}"
    if item.is_video:
        with atomic_write(media) as beside:
            shutil.copyfile(item.media_path, beside)
        loaded = load_still(item)
    else:
        loaded = load_item(item)
        if trainer is Trainer.SD_SCRIPTS:
            loaded = _cut_to_bucket(loaded, item)
        save_image(media, loaded.rgb_HWC)
    state = _State.WHITE if loaded.weights_HW is None else _State.FILE
    if trainer is Trainer.MUSUBI_TUNER or (item.is_video and trainer is Trainer.BLISSFUL_TUNER):
        state = _State.NONE
    else:
        ending = _MASK_ENDING if folder.masks == folder.images else ""
        save_image(folder.masks / f"{name}{ending}.png", weights_to_uint8(loaded.full_weights_HW))
    caption = " ".join(item.caption.split())
    # A blank file stops sd-scripts; that there is none, SimpleTuner.
    if caption or trainer is Trainer.SIMPLETUNER:
        write_text(folder.images / f"{name}.txt", caption and caption + "\n")
    row: dict[str, object] = {
        "name": item.name,
        "file": media.relative_to(output).as_posix(),
        "mask": state.value,
        "coverage": round(float(loaded.full_weights_HW.mean()), 6),
    }
    return row, (loaded.rgb_HWC.shape[1], loaded.rgb_HWC.shape[0])
