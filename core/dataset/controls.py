"""Control images of photographs, by name: `anna.png`, or several `anna_0.png`, `anna_1.png`, as musubi-tuner has it.

A name is a file's "/"-separated path below its directory, without suffix.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ..errors import DatasetError
from ..images import IMAGE_SUFFIXES
from .files import NameIndex, fold_case, list_files, need_directory

_NUMBERED = re.compile(r"(?P<name>.+)_(?P<number>\d{1,4})")


class Controls:
    """The control images in a directory. Those of one photograph are numbered from 0, from 1, or from 1 after one
    without a number. A file with the name of another photograph is that one's."""

    def __init__(self, directory: Path, names: Sequence[str]) -> None:
        """`names` are those of all photographs. PathError where there is no such directory."""
        need_directory(directory, "control_directory")
        self._taken = {fold_case(name) for name in names}
        self._numbers: defaultdict[str, set[str]] = defaultdict(set)
        for file in list_files(directory, True):
            found = _NUMBERED.fullmatch(file.name)
            if found is not None and file.path.suffix.lower() in IMAGE_SUFFIXES:
                self._numbers[_last_part(found["name"])].add(found["number"])
        wanted = [*names, *(numbered for name in names for _, numbered in self._numbered(name))]
        self._index = NameIndex(directory, IMAGE_SUFFIXES, "control", wanted)

    def find(self, name: str) -> tuple[Path, ...]:
        """The control images of the photograph `name`, in their order. DatasetError where two could be the same one, or
        one is missing before another."""
        alone = self._index.find(name)
        found: dict[int, Path] = {} if alone is None else {0: alone}
        for number, numbered in self._numbered(name):
            path = self._index.find(numbered)
            if path is None:
                continue
            if number in found:
                raise DatasetError(
                    f"Two control images could be number {number} of {name}: {found[number]} and {path}; keep one."
                )
            found[number] = path
        numbers = sorted(found)
        first = numbers[0] if numbers else 0
        missing = next((number for number in range(first, first + len(numbers)) if number not in found), None)
        if first > 1 or missing is not None:
            raise DatasetError(
                f"Control image {name}_{0 if missing is None else missing} is missing ({found[numbers[-1]]} is there); "
                "add it, or number those of a photograph from 0 without a gap."
            )
        return tuple(found[number] for number in numbers)

    def _numbered(self, name: str) -> list[tuple[int, str]]:
        """The names with a number that control images of `name` may have."""
        names = [(int(digits), f"{name}_{digits}") for digits in sorted(self._numbers.get(_last_part(name), ()))]
        return [(number, numbered) for number, numbered in names if fold_case(numbered) not in self._taken]


def _last_part(name: str) -> str:
    return fold_case(PurePosixPath(name).name)
