"""Lists of photographs or videos with their captions, as musubi-tuner's dataset files name them (JSON Lines).

An entry has `image_path` or `video_path`, `caption`, and perhaps `control_path`, or several of them, `control_path_0`,
`control_path_1` and so on. The files may lie anywhere below one
folder; masks are found by their names.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from ..files import read_bytes


@dataclass(frozen=True)
class Listing:
    """The folder that all of the files lie below, the files themselves, and the folder of their control images."""

    directory: Path
    files: frozenset[Path]
    control_directory: Path | None


def read_listing(path: Path, key: str) -> Listing:
    """Read a list whose entries name their files by `key`; relative paths count from its folder.

    DatasetError naming the line that is damaged or means something that is not done here.
    """
    files: list[Path] = []
    controls: list[Path] = []
    shown = 0
    for number, line in enumerate(_text(path).splitlines(), 1):
        if not line.strip():
            continue
        where = f"Line {number} of {path}"
        entry = _entry(line, where)
        file = _file(entry, key, where, path.parent)
        if not file.is_file():
            kind = "a folder of frames, which is not read; make a video of it" if file.is_dir() else "not there"
            raise DatasetError(f"{where} names {file}, which is {kind}.")
        files.append(file)
        several = sorted(name for name in entry if name.startswith(f"{key}_"))
        if several:
            raise DatasetError(f"{where} has {several[0]}; each photograph is one target here.")
        own = [name for name in entry if name == "control_path" or name.startswith("control_path_")]
        for name in own:
            control, wanted = _file(entry, name, where, path.parent), file.stem + name.removeprefix("control_path")
            if control.stem != wanted:
                raise DatasetError(
                    f"{where} has the control image {control.name} for {file.name}; control images are found by name, "
                    f"so call it {wanted}{control.suffix}."
                )
            controls.append(control)
        shown += bool(own)
    if not files:
        raise DatasetError(f"{path} lists no files; give each line {{{key!r}: …, 'caption': …}}.")
    folders = {control.parent for control in controls}
    if len(folders) > 1 or (controls and shown < len(files)):
        raise DatasetError(f"{path} has control images in several folders, or not for all; bring them into one.")
    return Listing(
        Path(os.path.commonpath([file.parent for file in files])), frozenset(files), next(iter(folders), None)
    )


def _text(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); give a list in JSON Lines, as UTF-8.") from error


def _entry(line: str, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{where} is damaged ({error}); mend it as JSON.") from error
    if not isinstance(entry, dict):
        raise DatasetError(f"{where} is no entry with a file and a caption, but {entry!r}.")
    return entry


def _file(entry: dict[str, Any], key: str, where: str, folder: Path) -> Path:
    name = entry.get(key)
    if not isinstance(name, str) or not name.strip():
        raise DatasetError(f"{where} has no {key}; name its file so.")
    return Path(os.path.normpath(folder / name.replace("\\", "/")))
