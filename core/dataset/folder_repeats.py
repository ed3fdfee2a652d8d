"""Folders that are named as kohya's trainers name repeats, such as `10_me`: how often their photographs come."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..errors import DatasetError
from ..first_names import first_names

_NAMED = re.compile(r"(\d{1,9})_.+")
# Larger numbers are years and dates, more likely than repeats; they are honoured where repeats are asked for.
_MOST_HINTED = 999


def repeating_folder(directory: Path, name: str) -> tuple[str, int] | None:
    """Of an item of `directory` the nearest folder that it lies in or below and that is named `<number>_<name>`, up to
    `directory` itself: its path below that (or that one's name), and the number. None where there is none."""
    folders = PurePosixPath(name).parent.parts
    for depth in range(len(folders), -1, -1):
        matched = _NAMED.fullmatch(folders[depth - 1] if depth else directory.name)
        if matched:
            return "/".join(folders[:depth]) or directory.name, int(matched[1])
    return None


def repeats_in(directory: Path, name: str) -> int:
    """How often an item of `directory` comes by its folder, 1 where no folder says. DatasetError for 0."""
    folder, repeats = repeating_folder(directory, name) or ("", 1)
    if repeats < 1:
        raise DatasetError(
            f"The folder {folder} of {directory} asks for 0 repeats; expected 1 or more: rename it, take it out, or "
            "turn folder_repeats off."
        )
    return repeats


def told_repeats(directory: Path, names: Iterable[str], num_repeats: int) -> list[str]:
    """Where repeats by folders are on: what each folder's items come to."""
    counts = Counter(repeating_folder(directory, name) for name in names)
    return [
        f"{found[0]}: {count} items come {found[1] * num_repeats} times each"
        for found, count in counts.items()
        if found is not None
    ]


def hinted_repeats(directory: Path, names: Iterable[str], num_repeats: int) -> str:
    """Where they are off: one hint that names the folders and the input; empty without such folders."""
    found = sorted({found for name in names if (found := repeating_folder(directory, name)) is not None})
    likely = [(folder, repeats) for folder, repeats in found if 1 <= repeats <= _MOST_HINTED]
    if not likely:
        return ""
    folders = first_names([folder for folder, _ in likely])
    times = ", ".join(str(repeats * num_repeats) for _, repeats in likely[:5])
    return (
        f"{len(likely)} folders are named like kohya's repeats ({folders}), and folder_repeats is off, so that their "
        f"items come {num_repeats} times each; turn it on to have them {times} times"
    )
