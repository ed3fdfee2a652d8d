"""Where corrections are kept: a folder for each folder of photographs, in it a file for each corrected photograph, a
folder for each corrected video, and what was decided about photographs by hand.

A photograph is known by its path alone, so that every dataset with it finds its correction, whatever its masks were
made with. Where several people have items of one photograph, each has a correction of their own, by their name, in a
folder beside that of the photograph. `_HW` pixel grid.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import DatasetError, ImageError, SettingError
from ..files import convert_disk_errors, lock_directory, read_text, shorten_stem, sweep, write_json
from ..fingerprints import fingerprint_of
from .frames import FRAMES, KeptFrames, frame_path, frames_in, notes_of
from .marks import Marks
from .override import SUFFIX, Correction, PaintedOver, read_correction, size_of, write_correction
from .strokes import Patch, Size, StaleRevisionError, check_revision, paint_file

__all__ = ["MARKS_FILE", "PEOPLE", "CorrectionStore", "Kept", "Patch", "StaleRevisionError", "check_fits"]
MARKS_FILE = "marks.json"
PEOPLE = ".people"
_DIGITS = 8


@dataclass(frozen=True)
class Kept:
    """A correction that is kept. `photograph` is where its photograph lay, as far as is known; `person` whose item of
    it was painted, empty where it is the photograph's own mask."""

    path: Path
    photograph: Path | None
    fraction: float
    person: str = ""


class CorrectionStore:
    """The corrections below `directory`, which need not exist, for any number of threads and processes: those of
    photographs and videos, or with `person` those of that person's items of them."""

    def __init__(self, directory: Path, person: str = "") -> None:
        self.directory, self.person = directory, person

    def of(self, person: str) -> CorrectionStore:
        """The same store for the items of one person among several; empty: for photographs and videos."""
        return CorrectionStore(self.directory, person)

    def folder_of(self, photographs: Path) -> Path:
        """Where the corrections of a folder of photographs lie."""
        folder = photographs.resolve()
        return self.directory / f"{folder.name or 'photographs'}-{fingerprint_of(folder)[:_DIGITS]}"

    def path_of(self, photograph: Path) -> Path:
        """Where the correction of a photograph lies, if there is one."""
        return self._path_in(self.folder_of(photograph.parent), photograph.name, SUFFIX)

    def frames_of(self, video: Path) -> Path:
        """Where the corrections of a video's frames lie, if there are any."""
        return self._path_in(self.folder_of(video.parent), video.name, FRAMES)

    def find(self, media: Path) -> Path | None:
        """The correction of a photograph, or the folder of a video's."""
        return self.find_in(self.folder_of(media.parent), media.name)

    def find_in(self, folder: Path, name: str) -> Path | None:
        """As `find`, of the photograph or video of that name where its folder's corrections lie in `folder`."""
        path, frames = self._path_in(folder, name, SUFFIX), self._path_in(folder, name, FRAMES)
        if path.is_file():
            return path
        return frames if frames_in(frames) else None

    def people_in(self, folder: Path, name: str) -> list[str]:
        """Of whose items of the photograph or video of that name there are corrections, in `folder` as in `find_in`."""
        inside = _people_folder(folder, name)
        paths = inside.iterdir() if inside.is_dir() else ()
        return sorted({person for path in paths if (person := _person_of(path))})

    def paint(self, photograph: Path, size: Size, patch: Patch | None, over: PaintedOver, revision: str) -> str:
        """Add a stroke to the correction that has this revision (none: `NO_REVISION`); None only notes anew what it
        lies over. Returns the new revision, `NO_REVISION` where nothing is painted any more.

        StaleRevisionError where another one is there; ImageError where the patch is not inside the photograph's
        `size`.
        """
        path = self.path_of(photograph)
        with self._locked(path.parent):
            return paint_file(path, size, patch, over, revision)

    def paint_frame(
        self,
        video: Path,
        frame: int,
        size: Size,
        patch: Patch | None,
        over: PaintedOver,
        revision: str,
        start: Correction | None = None,
    ) -> str:
        """As `paint`, on a frame of a video. `start`: what was carried to it, which is painted on where the frame has
        no correction of its own yet. A frame without paint behind a painted one is kept: nothing is carried to it."""
        folder = self.frames_of(video)
        with self._locked(folder.parent):
            folder.mkdir(exist_ok=True)
            others = [other for other in frames_in(folder) if other != frame]
            keep_empty = any(other < frame for other in others)
            told = paint_file(frame_path(folder, frame), size, patch, over, revision, start, keep_empty)
            if not frames_in(folder):
                shutil.rmtree(folder)
            return told

    def revert_frame(self, video: Path, frame: int, revision: str | None = None) -> bool:
        """As `revert`, of one frame: what is carried to it counts again."""
        folder = self.frames_of(video)
        if not folder.is_dir():
            return False
        with self._locked(folder.parent):
            path = frame_path(folder, frame)
            if revision is not None:
                check_revision(path, revision)
            there = path.exists()
            path.unlink(missing_ok=True)
            if not frames_in(folder):
                shutil.rmtree(folder)
        return there

    def put(self, photograph: Path, correction: Correction, replace_existing: bool = False) -> Path:
        """Keep a whole correction. DatasetError where another one is there, unless it is to be replaced."""
        path = self.path_of(photograph)
        with self._locked(path.parent):
            if path.exists() and not replace_existing:
                raise DatasetError(
                    f"{self._called(photograph)} has a correction already ({path}); revert it first, or give --replace."
                )
            write_correction(path, correction)
        return path

    def put_frames(self, video: Path, corrections: Mapping[int, Correction], replace_existing: bool = False) -> Path:
        """As `put`, of a video's painted frames, which take the place of all that are there."""
        folder = self.frames_of(video)
        with self._locked(folder.parent):
            there = frames_in(folder)
            if there and not replace_existing:
                raise DatasetError(
                    f"{self._called(video)} has corrections already ({folder}); revert them first, or give --replace."
                )
            folder.mkdir(exist_ok=True)
            for frame, correction in corrections.items():
                write_correction(frame_path(folder, frame), correction)
            for frame in set(there) - set(corrections):
                frame_path(folder, frame).unlink(missing_ok=True)
        return folder

    def revert(self, media: Path, revision: str | None = None) -> bool:
        """Take the correction of a photograph away, which is to have this revision (None: any), or all of a video's;
        False where there is none. StaleRevisionError where it has another one."""
        path, frames = self.path_of(media), self.frames_of(media)
        if not path.parent.is_dir():
            return False
        with lock_directory(path.parent):
            if revision is not None:
                check_revision(path, revision)
            there = path.exists() or bool(frames_in(frames))
            path.unlink(missing_ok=True)
            if frames.is_dir():
                shutil.rmtree(frames)
        return there

    def marks(self, folder: Path) -> Mapping[str, Marks]:
        """What was decided about the photographs of a folder, by their file names. DatasetError when the file is
        damaged."""
        known = _read_marks(self.folder_of(folder) / MARKS_FILE)
        return {name: marks.of(self.person) for name, marks in known.items()}

    def mark(self, photograph: Path, change: Callable[[Marks], Marks]) -> None:
        """Note what was decided about a photograph: `change` makes it of what was decided before."""
        folder = self.folder_of(photograph.parent)
        with self._locked(folder):
            known = dict(_read_marks(folder / MARKS_FILE))
            before = known.get(photograph.name, Marks())
            known[photograph.name] = before.noting(self.person, change(before.of(self.person)))
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
        for path in self._paths(SUFFIX):
            correction = read_correction(path)
            file = "" if correction.over is None else correction.over.file
            yield Kept(path, Path(file) if file else None, correction.fraction, _person_of(path))

    def kept_frames(self) -> Iterator[KeptFrames]:
        """The corrections of every video. ImageError for a damaged one."""
        for folder in self._paths(FRAMES):
            if frames := frames_in(folder):
                files = [note.file for note in notes_of(folder) if note.file]
                yield KeptFrames(folder, Path(files[0]) if files else None, frames, _person_of(folder))

    def _paths(self, ending: str) -> list[Path]:
        places = (f"*/*{ending}", f"*/*{PEOPLE}/*{ending}")
        return sorted(path for place in places for path in self.directory.glob(place) if not path.name.startswith("."))

    def _path_in(self, folder: Path, name: str, ending: str) -> Path:
        if self.person:
            return _people_folder(folder, name) / (self.person + ending)
        return folder / (shorten_stem(name, ending) + ending)

    def _called(self, media: Path) -> str:
        return f"{media.name} ({self.person})" if self.person else media.name

    @contextmanager
    def _locked(self, folder: Path) -> Generator[None]:
        with convert_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with lock_directory(folder):
            yield


def check_fits(path: Path, size: tuple[int, int], photograph: Path) -> None:
    """ImageError unless a correction is as large as its photograph, (width, height)."""
    found = size_of(path)
    if found != size:
        raise ImageError(
            f"The correction {path} is {found[0]}x{found[1]} and {photograph} {size[0]}x{size[1]} upright: it is "
            "another picture's; name it after its own photograph, or leave it away."
        )


def _people_folder(folder: Path, name: str) -> Path:
    return folder / (shorten_stem(name, PEOPLE) + PEOPLE)


def _person_of(path: Path) -> str:
    """Whose correction it is, by where it lies; empty where it is a photograph's or video's own, or none."""
    is_one = path.parent.name.endswith(PEOPLE) and path.suffix in (SUFFIX, FRAMES) and not path.name.startswith(".")
    return path.stem if is_one else ""


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
