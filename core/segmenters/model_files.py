"""Weights that the user has: where they lie, what is said when they do not, and what tells two versions apart."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..errors import ModelMissingError, SettingError, UserError
from ..files import sha256_file

_SHORT = 12


@dataclass(frozen=True)
class ModelSource:
    """What the errors say about one kind of weights: `purpose` ends "it is needed for …"."""

    purpose: str
    example: str
    folder: str
    source: str
    licence: str

    def describe(self) -> str:
        return (
            f"Weights for {self.purpose} belong in ComfyUI's {self.folder} or in a folder of that name beside this "
            f"pack's models (for example {self.example}; source: {self.source}; licence: {self.licence}), "
            "or choose 'bundled', which needs none."
        )


def locate(name: str, folders: Sequence[Path], source: ModelSource) -> Path:
    """The file or directory `name` ("/"-separated, relative) under the first of `folders` that has it.

    Raises SettingError when the name leads out of the folders, ModelMissingError when no folder has it.
    """
    relative = PurePosixPath(name.replace("\\", "/"))
    if not name or relative.is_absolute() or ".." in relative.parts or ":" in name:
        raise SettingError(f"The model {name!r} is not a name inside the model folders: choose one from the list.")
    for folder in folders:
        path = folder / relative
        if path.exists():
            return path
    looked = ", ".join(str(folder) for folder in folders) or "no folder"
    raise ModelMissingError(f"{name} was not found (looked in {looked}). {source.describe()}")


def missing_library(library: str, purpose: str, error: ImportError) -> UserError:
    """The error for a Python package that is not there or does not import."""
    return UserError(
        f"{purpose} needs the Python package {library}, which does not import ({error}): install it into ComfyUI's "
        f"Python with `pip install {library}`, or choose 'bundled'."
    )


def unusable(path: Path, why: str, source: ModelSource) -> UserError:
    """The error for a file that is there but is not what it should be."""
    return UserError(
        f"{path} cannot be used for {source.purpose}: {why}. Download it again whole, or choose another model "
        f"(for example {source.example} from {source.source}) or 'bundled'."
    )


_digests: dict[tuple[str, int, int], str] = {}
_digests_lock = threading.Lock()


def file_digest(path: Path) -> str:
    """Twelve hex digits of the file's SHA-256; a file of gigabytes is read once for each time that it changes."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    with _digests_lock:
        if key not in _digests:
            _digests[key] = sha256_file(path)[:_SHORT]
        return _digests[key]
