"""Where steps write when nobody says where: folders under `maskloss` in ComfyUI's output, named by what goes there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..core.dataset.items import Dataset
from ..core.fingerprints import fingerprint_of
from ..core.host import current_host
from ..core.paths import resolve_write

_DIGITS = 8  # of the hash at the end of a folder's name


def output_directory_for(text: str, step: str, dataset: Dataset, *made_with: object) -> Path:
    """Where a step writes: as told, else a folder named after the photographs' and what the masks are made with, so
    that neither two datasets meet in it nor two people of one."""
    items = [*dataset.items, *(gone.item for gone in dataset.left_out)]
    if not text.strip() and items:
        folder = _common_folder(item.media_path for item in items)
        masks = _common_folder(item.mask_path for item in items if item.mask_path)
        text = f"maskloss/{step}/{folder.name or 'dataset'}-{fingerprint_of(folder, masks, *made_with)[:_DIGITS]}"
    return resolve_write(current_host().folders(), text or f"maskloss/{step}", "output_directory")


def _common_folder(files: Iterable[Path]) -> Path:
    """The folder that all files lie in or below; an empty path where there is none."""
    folders = {str(path.parent) for path in files}
    one_drive = len({Path(folder).drive for folder in folders}) == 1
    return Path(os.path.commonpath(folders)) if one_drive else Path()


def earlier_directories(output: Path) -> list[Path]:
    """The folders that `output_directory_for` gave for the same folder of photographs and other settings."""
    start = output.name[:-_DIGITS]
    siblings = output.parent.iterdir() if output.parent.is_dir() else []
    return sorted(
        each
        for each in siblings
        if each != output and each.name.startswith(start) and len(each.name) == len(output.name) and each.is_dir()
    )


def new_directory(output: Path) -> Path:
    """`output` where it is not there or empty; else with a number behind it that is free."""
    number, found = 1, output
    while found.exists() and (not found.is_dir() or any(found.iterdir())):
        number += 1
        found = output.with_name(f"{output.name}_{number:03d}")
    return found


def parts_directory() -> Path:
    """Where the parts of photographs are kept, for all datasets together."""
    return resolve_write(current_host().folders(), "maskloss/parts", "output_directory")
