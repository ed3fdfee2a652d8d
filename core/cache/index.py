"""The index of a cache: one JSON file beside the entries, so that opening a cache reads no tensor."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..data.items import MaskOrigin
from ..errors import CacheError
from ..files import sha256_file, write_json
from .entries import CacheEntry, Source

INDEX_FILE = "maskloss_index.json"
INDEX_FORMAT = 1


@dataclass(frozen=True)
class CacheIndex:
    """`encoder` and `text_encoder` are identities. Unless `complete`, caching was broken off."""

    architecture: str
    encoder: str
    entries: tuple[CacheEntry, ...]
    text_encoder: str | None = None
    complete: bool = True


def read_index(directory: Path) -> CacheIndex:
    """The index, without a look at any other file. CacheError when it is missing or damaged."""
    path = directory / INDEX_FILE
    if not path.exists():
        raise CacheError(f"There is no cache in {directory} ({INDEX_FILE} is missing); run CacheLatents first.")
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        version = stored.pop("format")
        entries = tuple(_entry(record) for record in stored.pop("entries"))
        index = CacheIndex(entries=entries, **stored)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CacheError(f"The cache index {path} is damaged ({error}); run CacheLatents again.") from error
    if version != INDEX_FORMAT:
        raise CacheError(
            f"The cache index {path} has format {version} instead of {INDEX_FORMAT}; run CacheLatents again."
        )
    return index


def write_index(directory: Path, index: CacheIndex) -> None:
    """Write the index, whole or not at all."""
    stored = {"format": INDEX_FORMAT, **asdict(index), "entries": [_record(entry) for entry in index.entries]}
    write_json(directory / INDEX_FILE, stored)


def stamp(role: str, path: Path, sha256: str) -> Source:
    """A source as it is now; `sha256` is that of its content."""
    status = path.stat()
    return Source(role, path.resolve(), status.st_size, status.st_mtime_ns, sha256)


def missing_sources(entry: CacheEntry) -> tuple[Source, ...]:
    """Sources that are no longer there."""
    return tuple(source for source in entry.sources if not source.path.exists())


def changed_sources(entry: CacheEntry) -> tuple[Source, ...]:
    """Sources that are there with another content; read only where size or time of change differ."""
    return tuple(source for source in entry.sources if source.path.exists() and _changed(source))


def orphan_files(directory: Path, entries: Iterable[CacheEntry]) -> tuple[str, ...]:
    """Entries' files of no entry, "/"-separated below `directory`, sorted; text is not looked at."""
    used = {entry.file for entry in entries}
    files = (path for path in directory.rglob("*.safetensors") if not path.name.startswith("."))
    names = (path.relative_to(directory).as_posix() for path in files)
    return tuple(sorted(name for name in names if name not in used and not name.startswith("text/")))


def _changed(source: Source) -> bool:
    status = source.path.stat()
    if (status.st_size, status.st_mtime_ns) == (source.size, source.mtime_ns):
        return False
    return sha256_file(source.path) != source.sha256


def _record(entry: CacheEntry) -> dict[str, object]:
    sources = [{**asdict(source), "path": str(source.path)} for source in entry.sources]
    return {**asdict(entry), "origin": entry.origin.value, "sources": sources}


def _entry(record: Mapping[str, Any]) -> CacheEntry:
    converted: dict[str, Any] = {
        **record,
        "origin": MaskOrigin(record["origin"]),
        **{name: tuple(record[name]) for name in ("image_size", "bucket", "latent_shape", "control_indices")},
        "sources": tuple(_source(source) for source in record["sources"]),
    }
    return CacheEntry(**converted)


def _source(record: Mapping[str, Any]) -> Source:
    return Source(record["role"], Path(record["path"]), record["size"], record["mtime_ns"], record["sha256"])
