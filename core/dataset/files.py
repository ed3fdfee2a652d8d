"""Finding the files of a dataset: which lie in a directory, and which of them belongs to a photograph.

A name is a file's "/"-separated path below its directory, without suffix.
"""

from __future__ import annotations

import hashlib
import json
import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import DatasetError, PathError
from ..files import is_case_sensitive, sha256_file
from ..paths import is_new_folder

MASK_LEDGER = ".maskloss_masks.json"
# Thumbnails, wastebaskets and forks of files: of Synology, QNAP, macOS and Windows.
SYSTEM_FOLDERS = frozenset((
    "@eadir", "#recycle", "@recycle", "@__thumb", "__macosx", "$recycle.bin", "system volume information",
))  # fmt: skip


@dataclass(frozen=True)
class FoundFile:
    """A file and its name."""

    name: str
    path: Path


def list_files(directory: Path, recursive: bool, closed: Iterable[Path] = ()) -> Iterator[FoundFile]:
    """Every file below `directory`, sorted by name. Hidden files and folders, systems' own folders, those in `closed`
    and those that one of our own steps filled with masks are passed by. Links to folders elsewhere are followed, once
    each. PathError when a folder cannot be read or a name is not UTF-8."""
    shut = {path.resolve() for path in closed}
    root = directory.resolve()
    found: list[FoundFile] = []
    for folder, folders, files in os.walk(directory, onerror=_refuse, followlinks=recursive):
        here = Path(folder)
        folders[:] = [name for name in sorted(folders) if recursive and _is_descended(here / name, root, shut)]
        for name in files:
            if not name.startswith("."):
                path = here / name
                below = path.relative_to(directory)
                _check_name(below)
                found.append(FoundFile(below.with_suffix("").as_posix(), path))
    return iter(sorted(found, key=lambda file: (file.name, file.path.name)))


def need_directory(directory: Path, setting: str) -> None:
    """PathError when `directory` is missing or no directory; `setting` is what the user calls it."""
    if not directory.exists():
        raise PathError(f"The {setting} {directory} does not exist; check the path.")
    if not directory.is_dir():
        raise PathError(f"The {setting} {directory} is a file; give the folder that holds the files.")


def hash_of(path: Path) -> str:
    """Hex SHA-256 of a dataset's file, or of a folder's files with their names. PathError when it is not there (any
    more) or cannot be read."""
    try:
        if path.is_dir():
            return _hash_of_folder(path)
        return sha256_file(path)
    except OSError as error:
        raise PathError(
            f"{path} cannot be read ({error.strerror}); it was there when the folder was scanned, so scan again."
        ) from error


def status_of(path: Path) -> tuple[int, int]:
    """Bytes and time of change (ns) of a file; of a folder, all its files' bytes and the latest change, its own too."""
    status = path.stat()
    if not path.is_dir():
        return status.st_size, status.st_mtime_ns
    inside = [file.stat() for file in _files_in(path)]
    return sum(each.st_size for each in inside), max(each.st_mtime_ns for each in (status, *inside))


class NameIndex:
    """Companion files (masks, captions, control images) by name; each look-up takes constant time.

    A photograph `sub/a` is matched by `sub/a`; else by the same name in another Unicode form (composed or decomposed),
    or else in other letters, `sub/A`, where nothing else claims it; else by `a` at the top, where no other photograph
    is called `a`.
    """

    def __init__(
        self,
        directory: Path,
        suffixes: Sequence[str],
        kind: str,
        wanted: Sequence[str],
        recursive: bool = True,
        folders_of: Sequence[str] = (),
    ) -> None:
        """`kind` is the word for the files in messages, `wanted` the names of all photographs and videos. A folder that
        holds files with the suffixes `folders_of` can belong to one as well."""
        self._kind = kind
        self._exact: defaultdict[str, list[Path]] = defaultdict(list)
        # By less and less of a name: its Unicode form, then its case.
        self._loosely = tuple(
            (key, _no_paths(), _counts(key(name) for name in wanted)) for key in (_compose, fold_case)
        )
        lowered = tuple(suffix.lower() for suffix in suffixes)
        folders: set[Path] = set()
        for file in list_files(directory, recursive):
            if file.path.suffix.lower() in lowered:
                self._add(file.name, file.path)
            folder = file.path.parent
            if file.path.suffix.lower() in folders_of and folder != directory and folder not in folders:
                folders.add(folder)
                self._add(folder.relative_to(directory).as_posix(), folder)
        self._wanted_flat = _counts(fold_case(PurePosixPath(name).name) for name in wanted)

    def _add(self, name: str, path: Path) -> None:
        self._exact[name].append(path)
        for key, paths, _ in self._loosely:
            paths[key(name)].append(path)

    def find(self, name: str) -> Path | None:
        """The file that belongs to the photograph `name`, or None. DatasetError when two could."""
        found = self._one(name, self._exact.get(name, [])) or self._loose(name)
        if found is not None or "/" not in name:
            return found
        flat = PurePosixPath(name).name
        if self._wanted_flat[fold_case(flat)] != 1:
            return None
        return self._one(name, self._exact.get(flat, [])) or self._loose(flat)

    def _loose(self, name: str) -> Path | None:
        for key, paths, wanted in self._loosely:
            if wanted.get(key(name), 0) > 1:
                return None
            found = self._one(name, paths.get(key(name), []))
            if found is not None:
                return found
        return None

    def _one(self, name: str, paths: Sequence[Path]) -> Path | None:
        if len(paths) > 1:
            raise DatasetError(
                f"Two {self._kind} files could belong to {name}: {paths[0]} and {paths[1]}; keep one of them."
            )
        return paths[0] if paths else None


def _compose(name: str) -> str:
    """A name as most systems write it: a Mac's disks give `é` as `e` and an accent."""
    return unicodedata.normalize("NFC", name)


def fold_case(name: str) -> str:
    """A name as all names are written that differ from it in nothing but case and Unicode form."""
    return _compose(_compose(name).lower())


def _no_paths() -> defaultdict[str, list[Path]]:
    return defaultdict(list)


def _counts(names: Iterable[str]) -> dict[str, int]:
    counts: defaultdict[str, int] = defaultdict(int)
    for name in names:
        counts[name] += 1
    return counts


def check_case(names: Iterable[str], directory: Path) -> None:
    """DatasetError when two names differ in nothing but case, or Unicode form, and `directory`, which is made, does not
    tell case apart (such disks mostly tell neither): what is written for one would be written over the other's."""
    by_letters: dict[str, str] = {}
    for name in names:
        other = by_letters.setdefault(_compose(name.casefold()), name)
        if other != name and not is_case_sensitive(directory):
            raise DatasetError(
                f"{other} and {name} differ only in upper and lower case, which the disk of {directory} does not tell "
                "apart; rename one of them."
            )


def _check_name(below: Path) -> None:
    try:
        str(below).encode("utf-8")
    except UnicodeEncodeError as error:
        raise PathError(
            f"The name of the file {os.fsencode(below)!r} is not UTF-8, so no cache and no report can hold it; rename "
            "the file."
        ) from error


def _is_descended(folder: Path, root: Path, shut: set[Path]) -> bool:
    """Whether the files below a folder belong to the dataset; of a link that is noted in `shut`, so that none is
    followed twice and none in a circle."""
    if folder.name.startswith(".") or folder.name.lower() in SYSTEM_FOLDERS or not _open(folder, shut):
        return False
    return not folder.is_symlink() or is_new_folder(folder, root, shut)


def _open(folder: Path, shut: set[Path]) -> bool:
    return folder.resolve() not in shut and not (folder / MASK_LEDGER).exists()


def _refuse(error: OSError) -> None:
    raise PathError(f"The folder {error.filename} cannot be read ({error.strerror}); check its permissions.")


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))


def _hash_of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in _files_in(folder):
        digest.update(json.dumps([path.name, sha256_file(path)]).encode())
    return digest.hexdigest()
