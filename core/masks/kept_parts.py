"""Parts of pictures, kept on disk, so that other tier weights need no network: the same photograph, frame and segmenter
give the same parts, and weights are made from those in milliseconds.

A folder of files named by what they were made from, so that any number of runs and datasets share it; each is whole or
not there, a damaged one is made again. Beyond `MOST_BYTES` those that were used longest ago go.
"""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import DiskError, InternalError, SettingError
from ..files import refuse_special, sweep, write_bytes
from ..fingerprints import fingerprint_of
from ..parts.part_map import PartMap, PartScheme
from ..warning import warn

MOST_BYTES = 1 << 30  # some ten thousand photographs'
_SUFFIX = ".parts"
_FORMAT = 1  # raise when files of another form are written


class KeptParts:
    """The parts in `directory` (None: nothing is kept), for any number of threads and processes."""

    def __init__(self, directory: Path | None, most_bytes: int = MOST_BYTES) -> None:
        self._directory, self._most_bytes = directory, most_bytes
        self._lock = threading.Lock()
        self._bytes: int | None = None
        self.segmented = 0

    def __reduce__(self) -> tuple[type[KeptParts], tuple[Path | None, int]]:
        # Another process keeps them in the same folder.
        return KeptParts, (self._directory, self._most_bytes)

    def get(self, compute: Callable[[], PartMap], *made_from: object) -> PartMap:
        """The parts that were kept for `made_from`; else what `compute` gives, which is kept."""
        path = self._path(made_from)
        parts = None if path is None else _read(path)
        if parts is not None:
            return parts
        parts = compute()
        with self._lock:
            self.segmented += 1
        if path is not None:
            self._write(path, parts)
        return parts

    def has(self, *made_from: object) -> bool:
        """Whether parts are kept for `made_from`; `get` may still find them damaged or gone."""
        path = self._path(made_from)
        return path is not None and path.is_file()

    def _path(self, made_from: tuple[object, ...]) -> Path | None:
        if self._directory is None:
            return None
        digest = fingerprint_of(_FORMAT, *made_from)
        return self._directory / digest[:2] / f"{digest}{_SUFFIX}"

    def _write(self, path: Path, parts: PartMap) -> None:
        content = _pack(parts)
        try:
            write_bytes(path, content)
        except DiskError as error:
            # The masks themselves are what was asked for.
            warn(f"Parts are not kept, so that other weights will segment every photograph again: {error}")
            self._directory = None
            return
        with self._lock:
            self._bytes = self._tally() if self._bytes is None else self._bytes + len(content)
            if self._bytes > self._most_bytes:
                self._bytes = self._trim()

    def _files(self) -> list[tuple[float, int, Path]]:
        """(time of use, bytes, path) of every file, the one used longest ago first."""
        found: list[tuple[float, int, Path]] = []
        for path in [] if self._directory is None else self._directory.glob(f"*/*{_SUFFIX}"):
            with suppress(FileNotFoundError):  # another process may trim as well
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return sorted(found)

    def _tally(self) -> int:
        if self._directory is not None:
            sweep(self._directory)
        return sum(size for _, size, _ in self._files())

    def _trim(self) -> int:
        """Remove what was used longest ago until a tenth is free; returns the bytes that are left."""
        files = self._files()
        left = sum(size for _, size, _ in files)
        for _, size, path in files:
            if left <= self._most_bytes * 9 // 10:
                break
            path.unlink(missing_ok=True)
            left -= size
        return left


def _pack(parts: PartMap) -> bytes:
    table = parts.scheme
    scheme = {"id": table.id, "names": table.names, "face": sorted(table.face), "hair": sorted(table.hair)}
    smallest = np.min_scalar_type(len(parts.scheme.names) - 1)
    written = io.BytesIO()
    facts = json.dumps({"scheme": scheme, "approximate": parts.approximate})
    np.savez_compressed(written, labels=parts.label_HW.astype(smallest), facts=np.array(facts))
    return written.getvalue()


def _read(path: Path) -> PartMap | None:
    """What the file holds, which counts as used now; None where there is none, or it is damaged."""
    try:
        refuse_special(path)
        with np.load(path, allow_pickle=False) as stored:
            facts = json.loads(str(stored["facts"]))
            table = facts["scheme"]
            scheme = PartScheme(table["id"], tuple(table["names"]), frozenset(table["face"]), frozenset(table["hair"]))
            parts = PartMap(stored["labels"], scheme, facts["approximate"])
        os.utime(path)
    except (
        OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error, NotImplementedError,
        InternalError, SettingError,
    ):  # fmt: skip
        return None
    return parts
