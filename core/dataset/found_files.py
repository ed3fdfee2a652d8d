"""Every file of a dataset's folders, each in exactly one count, with its name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from ..paths import is_new_folder
from .files import MASK_LEDGER, SYSTEM_FOLDERS

SYSTEM_FILES = frozenset((
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "picasa.ini", "icon\r", "autorun.inf",
))  # fmt: skip


class FileKind(str, Enum):
    """What a file is to a dataset. Where two are true of one file, the first in this order counts."""

    PHOTOGRAPHS = "photographs"
    VIDEOS = "videos"
    VIDEOS_LEFT_OUT = "videos_left_out"
    MASKS = "masks"
    MASKS_BESIDE_UNUSED = "masks_beside_unused"
    CAPTIONS = "captions"
    CAPTIONS_BLANK = "captions_blank"
    CONTROLS = "controls"
    NOT_READ = "not_read"
    MASKS_UNUSED = "masks_unused"
    CAPTIONS_UNUSED = "captions_unused"
    CONTROLS_UNUSED = "controls_unused"
    MADE_HERE = "made_here"
    SUBFOLDERS = "subfolders"
    SYSTEM = "system"
    OTHER = "other"


SAID = {
    FileKind.PHOTOGRAPHS: "photographs",
    FileKind.VIDEOS: "videos",
    FileKind.VIDEOS_LEFT_OUT: "videos that give no clip",
    FileKind.MASKS: "masks",
    FileKind.MASKS_BESIDE_UNUSED: "masks beside photographs that have another",
    FileKind.CAPTIONS: "captions",
    FileKind.CAPTIONS_BLANK: "blank captions",
    FileKind.CONTROLS: "control images",
    FileKind.NOT_READ: "pictures and videos that are not read",
    FileKind.MASKS_UNUSED: "masks that belong to nothing",
    FileKind.CAPTIONS_UNUSED: "captions that belong to nothing",
    FileKind.CONTROLS_UNUSED: "control images that belong to nothing",
    FileKind.MADE_HERE: "files in folders that a step of this pack filled",
    FileKind.SUBFOLDERS: "files in subfolders, which are not read because recursive is off",
    FileKind.SYSTEM: "hidden files and systems' own",
    FileKind.OTHER: "files of other kinds",
}


@dataclass(frozen=True)
class Root:
    """A folder that is looked into. `unused`: what a file with such a suffix (lower case) is that nobody claims; in the
    `main` one, names are told without the folder's own."""

    directory: Path
    recursive: bool
    unused: Mapping[str, FileKind] = field(default_factory=dict)
    main: bool = False


@dataclass(frozen=True)
class FoundFiles:
    """All files by kind: how many, and their names below their folders. A folder that is not looked into is one name,
    such as `@eaDir/ (12 files)`, and all its files count."""

    counts: Mapping[FileKind, int]
    names: Mapping[FileKind, tuple[str, ...]]

    @property
    def found(self) -> int:
        """How many files there are."""
        return sum(self.counts.values())

    def of(self, kind: FileKind) -> tuple[str, ...]:
        """The names of a kind."""
        return self.names.get(kind, ())

    def line(self) -> str:
        """One sentence for people."""
        told = [f"{count} {SAID[kind]}" for kind, count in self.counts.items() if count]
        return f"{self.found} files found: {', '.join(told)}"

    def to_json(self) -> dict[str, object]:
        """{"found", "counts": {kind: how many}, "names": {kind: names}}, all kinds always."""
        return {
            "found": self.found,
            "counts": {kind.value: self.counts.get(kind, 0) for kind in FileKind},
            "names": {kind.value: list(self.of(kind)) for kind in FileKind},
        }


def sort_files(roots: Sequence[Root], claims: Mapping[FileKind, Iterable[Path]]) -> FoundFiles:
    """Every file below `roots` by its kind: what it is claimed for, else what its place and name say. Files that the
    scan's walk finds by a link are found here by the same one, each once. Only names are read."""
    real_folders: dict[Path, str] = {}

    def key(path: Path) -> tuple[str, str]:
        folder = path.parent
        if folder not in real_folders:
            real_folders[folder] = os.path.realpath(folder)
        return real_folders[folder], path.name

    claimed: dict[tuple[str, str], FileKind] = {}
    for kind in FileKind:
        for path in claims.get(kind, ()):
            claimed.setdefault(key(path), kind)
    counts = dict.fromkeys(FileKind, 0)
    names: dict[FileKind, list[str]] = {kind: [] for kind in FileKind}
    closed: dict[tuple[FileKind, str], int] = {}
    seen: set[str] = set()
    # The deepest first: what lies in a folder of masks below the photographs' is that folder's.
    for root in sorted(roots, key=lambda root: -len(root.directory.resolve().parts)):
        for folder in _folders(root, seen):
            for name in folder.files:
                kind = claimed.get((folder.real, name)) or folder.kind or _by_name(root, name)
                counts[kind] += 1
                if kind is folder.kind and folder.top:
                    closed[kind, folder.top] = closed.get((kind, folder.top), 0) + 1
                else:
                    names[kind].append(_name_below(root, kind, folder.below + name))
    for (kind, top), count in closed.items():
        names[kind].append(f"{top}/ ({count} files)")
    return FoundFiles(counts, {kind: tuple(sorted(some)) for kind, some in names.items()})


@dataclass(frozen=True)
class _Folder:
    """`below`: its path below the root, empty or with a "/" behind it. `kind`: what all unclaimed files in it are, None
    where each one's name says. `top`: the outermost folder that has that kind."""

    real: str
    below: str
    files: tuple[str, ...]
    kind: FileKind | None
    top: str


def _folders(root: Root, seen: set[str]) -> Iterator[_Folder]:
    """The folders of a root that are not in `seen` yet, in which they are noted."""
    start = root.directory.resolve()
    followed: set[Path] = set()
    waiting: list[tuple[Path, str, FileKind | None, str]] = [(root.directory, "", None, "")]
    while waiting:
        path, below, kind, top = waiting.pop()
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue  # one that is looked into has been read before, and would have been refused
        files: list[str] = []
        inner: list[tuple[Path, str, FileKind | None, str]] = []
        for entry in found:
            if not entry.is_dir():
                files.append(entry.name)
            elif not entry.is_symlink() or (
                root.recursive and kind is None and is_new_folder(Path(entry.path), start, followed)
            ):
                inside = kind or _kind_of_folder(root, Path(entry.path))
                here = f"{below}{entry.name}"
                shown = here if root.main else f"{root.directory.name}/{here}"
                inner.append((Path(entry.path), f"{here}/", inside, top or (shown if inside else "")))
        waiting += reversed(inner)
        yield _Folder(real, below, tuple(files), kind, top)


def _kind_of_folder(root: Root, path: Path) -> FileKind | None:
    if path.name.startswith(".") or path.name.lower() in SYSTEM_FOLDERS:
        return FileKind.SYSTEM
    if not root.recursive:
        return FileKind.SUBFOLDERS
    return FileKind.MADE_HERE if (path / MASK_LEDGER).exists() else None


def _by_name(root: Root, name: str) -> FileKind:
    if name.startswith(".") or name.lower() in SYSTEM_FILES:
        return FileKind.SYSTEM
    return root.unused.get(os.path.splitext(name)[1].lower(), FileKind.OTHER)


def _name_below(root: Root, kind: FileKind, name: str) -> str:
    """A file's name below its folder; with the folder's own where the kind does not tell which one it is."""
    told = kind not in (FileKind.SYSTEM, FileKind.OTHER, FileKind.NOT_READ)
    return name if root.main or told else f"{root.directory.name}/{name}"
