"""Where corrections are kept: a folder for each folder of photographs, in it a file for each corrected photograph, and
what was decided about photographs by hand.

A photograph is known by its path alone, so that every dataset with it finds its correction, whatever its masks were
made with. `_HW` pixel grid.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import DatasetError, ImageError, SettingError
from ..files import convert_disk_errors, lock_directory, read_text, shorten_stem, sweep, write_json
from ..fingerprints import fingerprint_of
from .marks import Marks
from .override import (
    NO_REVISION,
    SUFFIX,
    Correction,
    PaintedOver,
    read_correction,
    revision_of,
    size_of,
    write_correction,
)

MARKS_FILE = "marks.json"
_DIGITS = 8


class StaleRevisionError(DatasetError):
    """Somebody else, such as another browser tab, changed the correction meanwhile. `revision` is what there is now."""

    def __init__(self, path: Path, revision: str) -> None:
        super().__init__(f"The correction {path.name} was changed elsewhere meanwhile; load it again, then go on.")
        self.revision = revision


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of a mask after a stroke. values_HW uint8; painted_HW bool, False where a stroke takes paint away."""

    left: int
    top: int
    values_HW: np.ndarray
    painted_HW: np.ndarray


@dataclass(frozen=True)
class Kept:
    """A correction that is kept. `photograph` is where its photograph lay, as far as is known."""

    path: Path
    photograph: Path | None
    fraction: float


class CorrectionStore:
    """The corrections below `directory`, which need not exist, for any number of threads and processes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def folder_of(self, photographs: Path) -> Path:
        """Where the corrections of a folder of photographs lie."""
        folder = photographs.resolve()
        return self.directory / f"{folder.name or 'photographs'}-{fingerprint_of(folder)[:_DIGITS]}"

    def path_of(self, photograph: Path) -> Path:
        """Where the correction of a photograph lies, if there is one."""
        return self.folder_of(photograph.parent) / (shorten_stem(photograph.name, SUFFIX) + SUFFIX)

    def find(self, photograph: Path) -> Path | None:
        """The correction of a photograph."""
        path = self.path_of(photograph)
        return path if path.is_file() else None

    def paint(
        self, photograph: Path, size: tuple[int, int], patch: Patch | None, over: PaintedOver, revision: str
    ) -> str:
        """Add a stroke to the correction that has this revision (none: `NO_REVISION`); None only notes anew what it
        lies over. Returns the new revision, `NO_REVISION` where nothing is painted any more.

        StaleRevisionError where another one is there; ImageError where the patch is not inside the photograph's
        `size`.
        """
        path = self.path_of(photograph)
        _check_inside(patch, size)
        with convert_disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with lock_directory(path.parent):
            before = _checked(path, revision)
            correction = None if before == NO_REVISION else read_correction(path)
            if correction is None or correction.size != size:
                correction = Correction(np.zeros(size[::-1], np.uint8), np.zeros(size[::-1], np.bool_))
            correction = replace(correction, over=over)
            if patch is not None:
                correction = _painted(correction, patch)
            if not correction.painted_HW.any():
                path.unlink(missing_ok=True)
                return NO_REVISION
            write_correction(path, correction)
            return revision_of(path)

    def put(self, photograph: Path, correction: Correction, replace_existing: bool = False) -> Path:
        """Keep a whole correction. DatasetError where another one is there, unless it is to be replaced."""
        path = self.path_of(photograph)
        with convert_disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        with lock_directory(path.parent):
            if path.exists() and not replace_existing:
                raise DatasetError(
                    f"{photograph.name} has a correction already ({path}); revert it first, or give --replace."
                )
            write_correction(path, correction)
        return path

    def revert(self, photograph: Path, revision: str | None = None) -> bool:
        """Take the correction of a photograph away, which is to have this revision (None: any); False where there is
        none. StaleRevisionError where it has another one."""
        path = self.path_of(photograph)
        if not path.parent.is_dir():
            return False
        with lock_directory(path.parent):
            if revision is not None:
                _checked(path, revision)
            there = path.exists()
            path.unlink(missing_ok=True)
        return there

    def marks(self, folder: Path) -> Mapping[str, Marks]:
        """What was decided about the photographs of a folder, by their file names. DatasetError when the file is
        damaged."""
        return _read_marks(self.folder_of(folder) / MARKS_FILE)

    def mark(self, photograph: Path, change: Callable[[Marks], Marks]) -> None:
        """Note what was decided about a photograph: `change` makes it of what was decided before."""
        folder = self.folder_of(photograph.parent)
        with convert_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with lock_directory(folder):
            known = dict(self.marks(photograph.parent))
            known[photograph.name] = change(known.get(photograph.name, Marks()))
            noted = {name: marks.to_json() for name, marks in sorted(known.items()) if marks != Marks()}
            write_json(folder / MARKS_FILE, noted)

    def all_marks(self) -> Iterator[tuple[str, Marks]]:
        """What was decided about any photograph, each by the name of its folder here and its own. DatasetError for a
        damaged file."""
        for path in sorted(self.directory.glob(f"*/{MARKS_FILE}")):
            for name, marks in sorted(_read_marks(path).items()):
                yield f"{path.parent.name}/{name}", marks

    def kept(self) -> Iterator[Kept]:
        """Every correction, by folder and name. ImageError for a damaged one."""
        if not self.directory.is_dir():
            return
        sweep(self.directory)
        for path in sorted(self.directory.glob(f"*/*{SUFFIX}")):
            if path.name.startswith("."):
                continue
            correction = read_correction(path)
            file = "" if correction.over is None else correction.over.file
            yield Kept(path, Path(file) if file else None, correction.fraction)


def check_fits(path: Path, size: tuple[int, int], photograph: Path) -> None:
    """ImageError unless a correction is as large as its photograph, (width, height)."""
    found = size_of(path)
    if found != size:
        raise ImageError(
            f"The correction {path} is {found[0]}x{found[1]} and {photograph} {size[0]}x{size[1]} upright: it is "
            "another picture's; name it after its own photograph, or leave it away."
        )


def _read_marks(path: Path) -> Mapping[str, Marks]:
    try:
        stored = json.loads(read_text(path))
        return {name: Marks.from_json(each) for name, each in stored.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, SettingError) as error:
        raise DatasetError(
            f"{path} is damaged ({error}); delete it: which photographs are done or left out, and which faces were "
            "chosen, is lost with it."
        ) from error


def _checked(path: Path, revision: str) -> str:
    before = revision_of(path)
    if before != revision:
        raise StaleRevisionError(path, before)
    return before


def _check_inside(patch: Patch | None, size: tuple[int, int]) -> None:
    if patch is None:
        return
    height, width = patch.values_HW.shape
    inside = patch.left >= 0 and patch.top >= 0 and patch.left + width <= size[0] and patch.top + height <= size[1]
    if not inside or patch.painted_HW.shape != patch.values_HW.shape:
        raise ImageError(
            f"a stroke of {width}x{height} at {patch.left},{patch.top} does not lie inside {size[0]}x{size[1]}"
        )


def _painted(correction: Correction, patch: Patch) -> Correction:
    values_HW, painted_HW = correction.values_HW.copy(), correction.painted_HW.copy()
    height, width = patch.values_HW.shape
    place = np.s_[patch.top : patch.top + height, patch.left : patch.left + width]
    values_HW[place], painted_HW[place] = patch.values_HW, patch.painted_HW
    return replace(correction, values_HW=values_HW, painted_HW=painted_HW)
