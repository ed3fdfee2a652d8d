"""Resolves paths of a prompt: relative ones under ComfyUI's folders, absolute ones only where that is safe."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PureWindowsPath

from .errors import PathError

# In bytes: the limit of all systems' disks for a name, and one for a path that leaves room for files below it.
LONGEST_NAME, LONGEST_PATH = 255, 3800
ROOTS_VARIABLE = "MASKLOSS_ROOTS"

_SUFFIX = re.compile(r"\s+\[(input|output)\]$")


class PathKind(str, Enum):
    """What has to lie at a path that is read."""

    FILE = "file"
    DIRECTORY = "directory"
    ANY = "file or directory"


@dataclass(frozen=True)
class Folders:
    """The folders that are open to a prompt.

    `roots` are further folders that may be named absolutely (environment variable MASKLOSS_ROOTS);
    with `absolute_allowed` every absolute path is open.
    """

    input: Path
    output: Path
    roots: tuple[Path, ...] = ()
    absolute_allowed: bool = False

    def __post_init__(self) -> None:
        for path in (self.input, self.output, *self.roots):
            if not path.is_absolute():
                raise PathError(f"the folder {path} is relative; input, output and {ROOTS_VARIABLE} are absolute paths")


def roots_from_environment() -> tuple[Path, ...]:
    """The folders in MASKLOSS_ROOTS, separated as in PATH; relative entries count from the working directory."""
    return tuple(
        Path(entry).expanduser().absolute() for entry in os.environ.get(ROOTS_VARIABLE, "").split(os.pathsep) if entry
    )


def resolve_read(folders: Folders, text: str, name: str = "path", kind: PathKind = PathKind.ANY) -> Path:
    """The existing file or directory that `text` means; `name` is the input that the error speaks of.

    Relative paths are tried under input/, then output/; a suffix " [input]" or " [output]" decides.
    Raises PathError when it is missing, of the wrong kind, in both places, or outside the open folders.
    """
    plain, place = _split_place(text, name)
    path = _parse_absolute(plain, name)
    if path is not None:
        found = _resolve_allowed(folders, path, name, plain, (folders.input, folders.output, *folders.roots))
        tried = [found]
    else:
        bases = {"input": [folders.input], "output": [folders.output], None: [folders.input, folders.output]}[place]
        tried = list(dict.fromkeys(_resolve_inside(folders, base, plain, name) for base in bases))
    existing = [candidate for candidate in tried if candidate.exists()]
    if not existing:
        looked = " and ".join(str(candidate) for candidate in tried)
        raise PathError(f"{name}: {plain!r} was not found (looked at {looked}); check the spelling or give a full path")
    if len(existing) > 1:
        raise PathError(
            f"{name}: {plain!r} lies in both input and output ({existing[0]} and {existing[1]}); "
            f"add the suffix ' [input]' or ' [output]' to say which one is meant"
        )
    return _check_kind(existing[0], kind, plain, name)


def resolve_beside(
    folders: Folders, folder: Path, text: str, name: str = "path", kind: PathKind = PathKind.ANY
) -> Path:
    """As `resolve_read` for a path that a file in `folder` names: a relative one without a suffix counts from there.

    It may lead anywhere that an absolute path may. Raises PathError as `resolve_read`.
    """
    plain, place = _split_place(text, name)
    if place is None and _parse_absolute(plain, name) is None:
        return resolve_read(folders, str(folder / plain.replace("\\", "/")), name, kind)
    return resolve_read(folders, text, name, kind)


def resolve_write(folders: Folders, text: str, name: str = "path") -> Path:
    """The path under output/ (or, where open, the absolute path) that `text` means; nothing is created.

    Raises PathError when it is empty or outside the folders that may be written to.
    """
    plain, place = _split_place(text, name)
    if place == "input":
        raise PathError(f"{name}: {text!r} points into the input folder, which is only read; leave the suffix out")
    path = _parse_absolute(plain, name)
    if path is None:
        return _resolve_inside(folders, folders.output, plain, name)
    return _resolve_allowed(folders, path, name, plain, (folders.output, *folders.roots))


def resolve_read_or_write(folders: Folders, text: str, name: str = "path") -> tuple[Path, bool]:
    """The directory that `text` means, and whether it may be written to: one that is there is read where it lies, under
    input/ too; one that is not will be where `resolve_write` says.

    Raises PathError as `resolve_read` where it may not be written to, and when it is in both input and output.
    """
    try:
        target = resolve_write(folders, text, name)
    except PathError:
        return resolve_read(folders, text, name, PathKind.DIRECTORY), False
    plain, place = _split_place(text, name)
    beside_output = place is None and _parse_absolute(plain, name) is None
    if beside_output and (folders.input / plain.replace("\\", "/")).exists():
        found = resolve_read(folders, text, name, PathKind.DIRECTORY)
        return found, found == target
    return target, True


def listing_digest(paths: list[Path], recursive: bool = True) -> str:
    """A digest of what lies at `paths`: relative names, sizes and modification times, without opening any file. Links
    to folders elsewhere are followed, once each."""
    digest = hashlib.sha256()
    for path in paths:
        for entry in sorted(_list_entries(path, recursive, path.resolve(), set())):
            digest.update(repr(entry).encode("utf-8", "surrogateescape"))
        digest.update(b"\0")
    return digest.hexdigest()


def is_new_folder(link: Path, root: Path, followed: set[Path]) -> bool:
    """Whether a link leads to a folder not seen otherwise: neither below `root` nor around it, nor in `followed`, to
    which it is added."""
    target = link.resolve()
    if target in followed or target.is_relative_to(root) or root.is_relative_to(target):
        return False
    followed.add(target)
    return True


def numbered_path(directory: Path, stem: str, suffix: str) -> Path:
    """`directory/stem_00001suffix` with the first number above those that are there. PathError where that is too long
    for a disk."""
    pattern = re.compile(re.escape(stem) + r"_(\d+)")
    taken = [0]
    if directory.is_dir():
        taken += [int(match[1]) for entry in directory.iterdir() if (match := pattern.fullmatch(entry.stem))]
    name = f"{stem}_{max(taken) + 1:05}{suffix}"
    length = len(os.fsencode(name))
    if length > LONGEST_NAME:
        raise PathError(f"{name} has {length} bytes, and {LONGEST_NAME} are possible; give a shorter one")
    return directory / name


def _list_entries(
    path: Path, recursive: bool, root: Path, followed: set[Path], prefix: str = ""
) -> Iterator[tuple[str, int, int]]:
    """(name, bytes, time of change) of what lies at `path`, below `root`; `followed` are the links' folders so far."""
    if not path.is_dir():
        status = path.stat() if path.exists() else None
        yield (prefix or path.name, status.st_size if status else -1, status.st_mtime_ns if status else -1)
        return
    with os.scandir(path) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir():
            if recursive and (not entry.is_symlink() or is_new_folder(Path(entry.path), root, followed)):
                yield from _list_entries(Path(entry.path), recursive, root, followed, f"{prefix}{entry.name}/")
        elif entry.is_file():
            status = entry.stat()
            yield (prefix + entry.name, status.st_size, status.st_mtime_ns)


def _split_place(text: str, name: str) -> tuple[str, str | None]:
    if "\0" in text:
        raise PathError(f"{name}: {text!r} holds a NUL character; give a plain path")
    match = _SUFFIX.search(text.strip())
    plain = text.strip()[: match.start()] if match else text.strip()
    if not plain:
        raise PathError(f"{name} is empty; give a path relative to the input or output folder")
    return plain, match[1] if match else None


def _parse_absolute(plain: str, name: str) -> Path | None:
    """The path when it is absolute, else None."""
    if os.name == "nt":
        path = Path(plain)
        return path if path.drive or path.root else None
    if PureWindowsPath(plain).drive:
        raise PathError(f"{name}: {plain!r} is a Windows path and this machine is not Windows; give a path of this one")
    path = Path(plain.replace("\\", "/"))
    if path.parts and path.parts[0] == "~":
        path = path.expanduser()
    return path if path.is_absolute() else None


def _resolve_inside(folders: Folders, base: Path, plain: str, name: str) -> Path:
    base = _resolve_links(base, name)
    path = _resolve_links(base / plain.replace("\\", "/"), name)
    if path.is_relative_to(base) or any(path.is_relative_to(_resolve_links(root, name)) for root in folders.roots):
        return path
    raise PathError(
        f"{name}: {plain!r} leads out of {base} (to {path}); a relative path stays inside. "
        f"Give the full path, or name its folder in {ROOTS_VARIABLE}"
    )


def _resolve_allowed(folders: Folders, path: Path, name: str, plain: str, bases: tuple[Path, ...]) -> Path:
    path = _resolve_links(path, name)
    if folders.absolute_allowed or any(path.is_relative_to(_resolve_links(base, name)) for base in bases):
        return path
    raise PathError(
        f"{name}: {plain!r} lies outside the folders that are open ({', '.join(str(base) for base in bases)}); "
        f"this server listens to a network, so name the folder in the environment variable {ROOTS_VARIABLE} to open it"
    )


def _resolve_links(path: Path, name: str) -> Path:
    longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    if longest > LONGEST_NAME or len(os.fsencode(path)) > LONGEST_PATH:
        raise PathError(
            f"{name}: {path} is too long for a disk (a name of {longest} bytes; {LONGEST_NAME} are possible, and "
            f"{LONGEST_PATH} for a whole path); give a shorter one"
        )
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise PathError(f"{name}: {path} cannot be followed ({error}); check its links") from error


def _check_kind(path: Path, kind: PathKind, plain: str, name: str) -> Path:
    if kind is PathKind.DIRECTORY and not path.is_dir():
        raise PathError(f"{name}: {plain!r} is a file, a directory was expected; give the folder that holds it")
    if kind is PathKind.FILE and not path.is_file():
        raise PathError(f"{name}: {plain!r} is a directory, a file was expected; give the path of one file")
    return path
