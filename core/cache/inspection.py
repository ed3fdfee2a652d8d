"""Inspects a whole cache: what it holds and every fault, where opening it stops at the first."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..dataset.items import MaskOrigin
from ..errors import CacheError, PathError
from ..files import sweep
from .entries import CacheEntry, StaleEntry
from .entry_file import (
    CLASS_OF,
    LATENT_FINGERPRINT,
    MASK_FINGERPRINT,
    TEXT_ENCODER,
    VERSION,
    read_header,
    read_metadata,
)
from .index import INDEX_FILE, orphan_files, read_index
from .store import LatentCache, open_cache


@dataclass(frozen=True)
class EntryCheck:
    """One entry's file. `has_weights` is None where the file cannot be read; `problem` is empty where all is well."""

    entry: CacheEntry
    has_weights: bool | None
    problem: str


@dataclass(frozen=True)
class Inspection:
    """A cache as it lies on disk. `orphans` are files of no entry, `unused_text` those of no caption."""

    cache: LatentCache
    complete: bool
    checks: tuple[EntryCheck, ...]
    stale: tuple[StaleEntry, ...]
    orphans: tuple[str, ...]
    unused_text: tuple[str, ...]

    @property
    def buckets(self) -> dict[tuple[int, int], int]:
        """How many entries have which (width, height), sorted."""
        return dict(sorted(Counter(entry.bucket for entry in self.cache.entries).items()))

    @property
    def coverages(self) -> tuple[float, ...]:
        """The mean weights of the entries that have a mask, ascending."""
        return tuple(sorted(entry.coverage for entry in self.cache.entries if entry.origin is not MaskOrigin.NONE))

    @property
    def faults(self) -> int:
        """How many entries must not be trained on, and one more where caching was broken off."""
        return sum(bool(check.problem) for check in self.checks) + len(self.stale) + (not self.complete)


def inspect_cache(directory: Path, deep: bool = False) -> Inspection:
    """Look at every file of a cache, the reference system's too; `deep` reads the tensors as well.

    PathError when there is no such directory, CacheError when it holds no cache or its index is damaged.
    """
    if not directory.is_dir():
        raise PathError(f"The cache {directory} is not a directory; check the path.")
    complete = True
    if (directory / INDEX_FILE).exists():
        index = read_index(directory)
        complete = index.complete
        cache = LatentCache(directory, index.architecture, index.encoder, index.entries, index.text_encoder)
    else:
        cache = open_cache(directory)
    # Only our own index tells which files should be there.
    orphans = orphan_files(directory, cache.entries) if cache.reference is None and complete else ()
    return Inspection(
        cache=cache,
        complete=complete,
        checks=tuple(_check_entry(cache, entry, deep) for entry in cache.entries),
        stale=cache.find_stale_entries(),
        orphans=orphans,
        unused_text=_find_unused_text(cache),
    )


@dataclass(frozen=True)
class Pruning:
    """Files below a cache's directory that nothing uses: `ours` were written by this pack, `others` are left alone."""

    ours: tuple[str, ...]
    others: tuple[str, ...]
    ours_bytes: int


def prune_cache(directory: Path, remove: bool = False) -> Pruning:
    """Find the entries of no item and the text of no caption, and with `remove` delete those that are ours.

    Files that killed processes left half-written go as well. CacheError where the cache does not open: what is not
    finished may still need them.
    """
    cache = open_cache(directory)
    unused = () if cache.reference is not None else orphan_files(directory, cache.entries)
    ours: list[str] = []
    others: list[str] = []
    for file in (*unused, *_find_unused_text(cache)):
        (ours if _is_ours(directory / file) else others).append(file)
    size = sum((directory / file).stat().st_size for file in ours)
    if remove:
        for file in ours:
            (directory / file).unlink(missing_ok=True)
        sweep(directory)
    return Pruning(tuple(ours), tuple(others), size)


def _is_ours(path: Path) -> bool:
    try:
        metadata = read_metadata(path)
    except CacheError:
        return False  # damaged and of unknown origin
    return VERSION in metadata or TEXT_ENCODER in metadata


def _check_entry(cache: LatentCache, entry: CacheEntry, deep: bool) -> EntryCheck:
    path = cache.directory / entry.file
    try:
        header = read_header(path)
    except CacheError as error:
        return EntryCheck(entry, None, str(error))
    # Files of other systems carry no fingerprint.
    for tag, expected in ((LATENT_FINGERPRINT, entry.latent_fingerprint), (MASK_FINGERPRINT, entry.mask_fingerprint)):
        if header.metadata.get(tag, expected) != expected:
            return EntryCheck(entry, header.has_weights, f"{path} is not the file that the index speaks of.")
    if header.latent_shape != entry.latent_shape:
        found = f"{header.latent_shape} instead of {entry.latent_shape}"
        return EntryCheck(entry, header.has_weights, f"{path} has latents of shape {found}.")
    if header.references != entry.references and cache.reference is None:
        found = f"{header.references} control images instead of {entry.references}"
        return EntryCheck(entry, header.has_weights, f"{path} has latents of {found}.")
    if header.has_weights != (entry.origin is not MaskOrigin.NONE):
        found = "mask_weights" if header.has_weights else "no mask_weights"
        return EntryCheck(
            entry, header.has_weights, f"{path} holds {found}, but by the index its mask is from {entry.origin.value}."
        )
    if deep:
        try:
            cache.latent(entry)
            cache.weights(entry)
            cache.references(entry)
        except CacheError as error:
            return EntryCheck(entry, header.has_weights, str(error))
    return EntryCheck(entry, header.has_weights, "")


def _find_unused_text(cache: LatentCache) -> tuple[str, ...]:
    used: set[str] = set()
    if cache.text_encoder is not None:
        used = {cache.text_file(caption, entry) for entry in cache.entries for caption in ("", entry.caption)}
        used.add(cache.text_file(""))
    files = sorted((cache.directory / "text").glob("*.safetensors"))
    names = (path.relative_to(cache.directory).as_posix() for path in files if not path.name.startswith("."))
    return tuple(name for name in names if name not in used and not _is_of_class(cache, cache.directory / name))


def _is_of_class(cache: LatentCache, path: Path) -> bool:
    """Whether a text is a caption of the cache with a class noun in its trigger's place."""
    try:
        metadata = read_metadata(path)
        captions = json.loads(metadata.get(CLASS_OF, "[]"))
    except (CacheError, ValueError):
        return False
    known = {entry.caption for entry in cache.entries}
    return metadata.get(TEXT_ENCODER) == cache.text_encoder and not known.isdisjoint(captions)
