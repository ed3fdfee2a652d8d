"""The source files of cache entries: their hashes, and whether they changed since."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from ..dataset.files import hash_of, status_of
from ..errors import CacheError
from .entries import CacheEntry, Source
from .entry_file import SOURCES_SEEN, read_metadata
from .index_columns import EntryTable

# Some disks keep times in steps of two seconds: what changed that shortly before a file was made may change once more
# without a trace.
_SETTLED_NS = 2_000_000_000
_REMEMBERED = 65_536


def read_sources(paths: Mapping[str, Path], entry_file: Path) -> tuple[tuple[Source, ...], str]:
    """The files by their role with their hashes, and the text to store in an entry's file for the next time.

    A file that is in size and times as it was when `entry_file` was made has the hash that is noted there; any other is
    hashed. PathError when one is not there or cannot be read.
    """
    known = _read_noted_hashes(entry_file)
    sources: list[Source] = []
    seen: list[list[object]] = []
    for role, path in paths.items():
        # Before it is read, so that a change while reading is noticed the next time.
        before = _stat(str(path))
        key = None if before is None else _stat_key(role, path)
        digest = known.get(key, "") if key is not None else ""
        digest = digest or hash_of(path)
        size, mtime_ns = before or status_of(path)
        sources.append(Source(role, path.resolve(), size, mtime_ns, digest))
        if key is not None:
            seen.append([*key, digest])
    return tuple(sources), json.dumps(seen)


def find_changed_sources(entries: Sequence[CacheEntry]) -> tuple[list[tuple[str, Source]], list[str]]:
    """Sources that are there with another content, each with its entry's name, and names of entries with sources that
    are no longer there. Files are read only where size or time of change differ."""
    changed: list[tuple[str, Source]] = []
    missing: dict[str, None] = {}
    look = lru_cache(_REMEMBERED)(_stat)  # what several entries are made from
    hashes: dict[str, str] = {}
    table = entries if isinstance(entries, EntryTable) else EntryTable.from_entries(entries)
    for name, number, path, size, mtime_ns in table.sources():
        status = look(path)
        if status is None:
            missing[name] = None
        elif status != (size, mtime_ns):
            source = table.source(number, name)
            hashes[path] = hashes.get(path) or hash_of(source.path)
            if hashes[path] != source.sha256:
                changed.append((name, source))
    return changed, list(missing)


_Key = tuple[str, str, int, int, int]


def _stat_key(role: str, path: Path) -> _Key | None:
    """What a file is without reading it; None for a folder of masks. The time of the last change to anything about it
    cannot be set back, the time of change can."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        return None
    return role, path.name, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read_noted_hashes(entry_file: Path) -> dict[_Key, str]:
    """Hashes by what was hashed, as an entry's file says; none where it is not there, damaged or another trainer's."""
    try:
        made_ns = entry_file.stat().st_mtime_ns
        noted = json.loads(read_metadata(entry_file).get(SOURCES_SEEN, "[]"))
        return {
            (role, name, size, mtime_ns, ctime_ns): digest
            for role, name, size, mtime_ns, ctime_ns, digest in noted
            if max(mtime_ns, ctime_ns) + _SETTLED_NS < made_ns
        }
    except (OSError, CacheError, ValueError, TypeError):
        return {}


def _stat(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
        return status_of(Path(path)) if stat.S_ISDIR(status.st_mode) else (status.st_size, status.st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return None
