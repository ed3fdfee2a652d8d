"""Marks of photographs as a file that is taken elsewhere, and whose they are there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DatasetError, PathError, SettingError
from ..files import read_text, write_json
from .marks import Marks


@dataclass(frozen=True)
class Marked:
    """What was decided about the photograph or video of a name, in a folder of a name."""

    folder: str
    name: str
    marks: Marks


def write_marks(path: Path, marked: Iterable[Marked]) -> None:
    """Write them as [{"folder", "name", and `Marks.to_json`}]."""
    write_json(path, [{"folder": each.folder, "name": each.name, **each.marks.to_json()} for each in marked])


def read_marks(path: Path) -> Sequence[Marked]:
    """What `write_marks` wrote; nothing where there is no such file. DatasetError when it is damaged."""
    try:
        stored = json.loads(read_text(path))
        return [Marked(str(row["folder"]), str(row["name"]), Marks.from_json(row)) for row in stored]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, SettingError) as error:
        raise DatasetError(
            f"{path} is no list of marks ({error}); export them again, or take the file away."
        ) from error


def find_marked(each: Marked, known: Sequence[Path], by_content: Mapping[str, Path]) -> Path:
    """Which of the files `known` it was said of: that of the content in which a face was chosen, else the one of its
    name; of several those in a folder of the same name. PathError where there is none, or still more than one."""
    for face in each.marks.faces:
        if face.photograph in by_content:
            return by_content[face.photograph]
    named = [path for path in known if path.name == each.name]
    if len(named) > 1:
        named = [path for path in named if path.parent.name == each.folder]
    if len(named) != 1:
        raise PathError(
            f"{each.name} (of a folder {each.folder}) was marked, and {len(named) or 'none'} of the {len(known)} "
            "photographs and videos there may be it; import into one folder at a time, or take marks.json away."
        )
    return named[0]
