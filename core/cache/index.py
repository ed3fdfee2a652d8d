"""The index of a cache: one JSON file beside the entries, so that opening a cache reads no tensor."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import CacheError
from ..files import atomic_write, refuse_special
from .column_json import ColumnReader
from .entries import CacheEntry
from .index_columns import EntryTable

INDEX_FILE = "maskloss_index.json"
INDEX_FORMAT = 2
TEXT_DIRECTORY = "text"
SHARDS_DIRECTORY = "shares"  # its name on disk, as existing caches have it
# The kinds of what stands before the entries, without a text encoder and with one.
_HEADS = ([str, str, bool], [str, str, str, bool])
# A file name that is no UTF-8 stands in a path as lone surrogates, which have to come back as they were.
_ENCODING = "utf-8", "surrogatepass"
_MOST_WHOLE_BYTES = 1 << 30


@dataclass(frozen=True)
class CacheIndex:
    """`encoder` and `text_encoder` are identities. Unless `complete`, caching was broken off."""

    architecture: str
    encoder: str
    entries: Sequence[CacheEntry] = field(default=())
    text_encoder: str | None = None
    complete: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.entries, EntryTable):
            object.__setattr__(self, "entries", EntryTable.from_entries(self.entries))


def read_index(directory: Path) -> CacheIndex:
    """The index, without a look at any other file. CacheError when it is missing or damaged."""
    path = directory / INDEX_FILE
    if not path.exists():
        raise CacheError(f"There is no cache in {directory} ({INDEX_FILE} is missing); run CacheLatents first.")
    return read_index_file(path)


def read_index_file(path: Path) -> CacheIndex:
    """An index by any name. CacheError when it is damaged or of another format."""
    try:
        stored = _read(path)
        version = stored["format"]
        if version == INDEX_FORMAT:
            head = [stored[name] for name in ("architecture", "encoder", "text_encoder", "complete")]
            if [type(value) for value in head if value is not None] not in _HEADS:
                raise ValueError(f"its head is {head}")
            return CacheIndex(head[0], head[1], EntryTable.from_json(stored), head[2], head[3])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise CacheError(f"The cache index {path} is damaged ({error}); run CacheLatents again.") from error
    raise CacheError(
        f"The cache index {path} has format {version} instead of {INDEX_FORMAT}; run CacheLatents and CacheText again: "
        "they keep every latent and text that is there."
    )


def write_index(directory: Path, index: CacheIndex) -> None:
    """Write the index, whole or not at all."""
    write_index_file(directory / INDEX_FILE, index)


def write_index_file(path: Path, index: CacheIndex) -> None:
    """Write an index by any name, whole or not at all."""
    head = {
        "format": INDEX_FORMAT,
        "architecture": index.architecture,
        "encoder": index.encoder,
        "text_encoder": index.text_encoder,
        "complete": index.complete,
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)},\n" for name, value in head.items()]
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        for piece in chain(["{\n", *lines], to_table(index.entries).json_pieces(), ["\n}\n"]):
            file.write(piece.encode(*_ENCODING))


def orphan_files(directory: Path, entries: Sequence[CacheEntry]) -> tuple[str, ...]:
    """Entries' files of no entry, "/"-separated below `directory`, sorted; text is not looked at."""
    used = {file for file, _ in to_table(entries).files()}
    found: list[str] = []
    for folder, _, files in os.walk(directory):
        below = Path(folder).relative_to(directory).as_posix()
        if below != TEXT_DIRECTORY:
            start = "" if below == "." else f"{below}/"
            found += [start + file for file in files if file.endswith(".safetensors") and not file.startswith(".")]
    return tuple(sorted(file for file in found if file not in used))


def entry_files(entries: Sequence[CacheEntry]) -> Iterator[tuple[str, int]]:
    """Each entry's file below the cache's directory, and how many bytes it has."""
    return to_table(entries).files()


def to_table(entries: Sequence[CacheEntry]) -> EntryTable:
    """The entries as columns; those of an index are."""
    return entries if isinstance(entries, EntryTable) else EntryTable.from_entries(entries)


def _read(path: Path) -> dict[str, Any]:
    refuse_special(path)
    with path.open("rb") as file:
        try:
            return ColumnReader(file).tables()
        except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
            # Perhaps the same JSON in another layout; what is larger than that was written by nobody else.
            if os.fstat(file.fileno()).st_size > _MOST_WHOLE_BYTES:
                raise
        file.seek(0)
        return json.loads(file.read().decode(*_ENCODING))
