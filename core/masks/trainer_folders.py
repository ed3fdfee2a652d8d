"""Folders that other trainers train from with our masks: upright sRGB pictures, masks of the same size, captions, and
the trainer's own dataset file.

Every picture gets a mask file, white where it has none, because trainers disagree on what a missing one means. Masks
are 8-bit grey, white is full weight, as all of these read them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..alpha import weights_to_uint8
from ..dataset.files import check_case
from ..dataset.items import Dataset, DatasetItem
from ..dataset.load import load_item
from ..errors import DatasetError
from ..files import write_text
from ..images import save_image
from ..progress import SILENT, Progress
from ..warning import warn
from .trainer_files import ExportedFolder, Trainer, dataset_file

# Beside a photograph, for OneTrainer.
_MASK_ENDING = "-masklabel"
_ENDINGS = (_MASK_ENDING, "-condlabel")


class _State(str, Enum):
    FILE = "mask"
    WHITE = "white"


@dataclass(frozen=True)
class _Group:
    """Items of one folder: trainers give these settings to whole folders."""

    items: tuple[DatasetItem, ...]
    resolution: tuple[int, int]
    repeats: int
    regularisation: bool


def export_folders(
    dataset: Dataset, output: Path, trainer: Trainer, progress: Progress = SILENT
) -> tuple[Path, dict[str, object]]:
    """Write the photographs of a dataset for a trainer, below a new or empty folder.

    Crops are written as pictures of their own. Captions become one line, as some trainers take each line for a caption.
    Returns the trainer's dataset file and the report {"items": [{"name", "file", "mask": mask|white, "coverage"}],
    "counts", "messages"}. DatasetError where the folder holds something, where two items would have one name, where
    there are videos alone, or a name means something else to the trainer; and whatever reading an item raises.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DatasetError(f"{output} holds something already; give a new folder, so that nothing is mixed up.")
    photographs = [item for item in dataset.items if not item.is_video]
    if not photographs:
        raise DatasetError("There are no photographs in the dataset; videos are not exported.")
    messages: list[str] = []
    if videos := len(dataset.items) - len(photographs):
        messages.append(warn(f"{videos} videos are not exported: these trainers read masks of photographs."))
    names = _flat_names(photographs, trainer)
    groups = _groups(photographs)
    rows: list[dict[str, object]] = []
    folders: list[ExportedFolder] = []
    for number, group in enumerate(groups, 1):
        folder = _folder(output, trainer, group, number if len(groups) > 1 else 0)
        folders.append(folder)
        for item in group.items:
            progress.update(len(rows), len(photographs), item.name)
            rows.append(_write(item, names[item.name], folder, output))
    check_case(names.values(), output)
    progress.update(len(rows), len(photographs))
    file, content, advice = dataset_file(trainer, folders, output.resolve())
    write_text(output / file, content)
    states = Counter(row["mask"] for row in rows)
    messages += [f"{len(rows)} photographs in {output}; {file} names them for {trainer.value}. {advice}"]
    if states[_State.WHITE.value]:
        messages.append(f"{states[_State.WHITE.value]} of them had no mask and have a white one, which counts fully.")
    counts = {"items": len(rows), "videos_left_out": videos, "folders": len(folders)}
    return output / file, {
        "items": rows,
        "counts": {**counts, **{f"mask_{state.value}": states[state.value] for state in _State}},
        "messages": messages,
    }


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
    together: dict[tuple[tuple[int, int], int, bool], list[DatasetItem]] = {}
    for item in items:
        key = (item.settings.resolution, item.repeats, item.regularisation > 0)
        together.setdefault(key, []).append(item)
    return [_Group(tuple(some), *key) for key, some in together.items()]


def _folder(output: Path, trainer: Trainer, group: _Group, number: int) -> ExportedFolder:
    ending = f"_{number}" if number else ""
    images = output / f"images{ending}"
    masks = images if trainer is Trainer.ONETRAINER else output / f"masks{ending}"
    settings = group.items[0].settings
    return ExportedFolder(images, masks, group.resolution, group.repeats, group.regularisation, settings)


def _write(item: DatasetItem, name: str, folder: ExportedFolder, output: Path) -> dict[str, object]:
    loaded = load_item(item)
    image = folder.images / f"{name}.png"
    ending = _MASK_ENDING if folder.masks == folder.images else ""
    save_image(image, loaded.rgb_HWC)
    save_image(folder.masks / f"{name}{ending}.png", weights_to_uint8(loaded.full_weights_HW))
    if caption := " ".join(item.caption.split()):
        # A blank file stops sd-scripts.
        write_text(folder.images / f"{name}.txt", caption + "\n")
    return {
        "name": item.name,
        "file": image.relative_to(output).as_posix(),
        "mask": (_State.WHITE if loaded.weights_HW is None else _State.FILE).value,
        "coverage": round(float(loaded.full_weights_HW.mean()), 6),
    }
