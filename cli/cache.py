"""`maskloss cache`: what a cache holds, file by file, and its way to other trainers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ..core.cache.entries import WHOLE
from ..core.cache.export import export_reference
from ..core.cache.inspection import EntryCheck, Inspection, inspect_cache, prune_cache
from ..core.cache.store import open_cache
from ..core.errors import CacheError
from ..core.host import LocalHost


def inspect(directory: Path, deep: bool) -> None:
    """Print what is in the cache, a line per file, then what is wrong. CacheError when anything is."""
    inspection = inspect_cache(directory, deep)
    print("\n".join(_lines(inspection)))
    if inspection.faults:
        raise CacheError(
            f"{directory} has {inspection.faults} faults, marked above; run CacheLatents again to have it mended."
        )


def export(directory: Path, output: Path, architecture: str, with_text: bool) -> None:
    """Write the cache for musubi-tuner and say what came out."""
    host = LocalHost()
    host.label = "export"
    report = export_reference(open_cache(directory), output, architecture, host.progress(), with_text)
    print(f"{report['counts']['entries']} files are in {output}")
    print("\n".join(report["messages"]))


def prune(directory: Path, remove: bool) -> None:
    """Print the files that nothing uses, and delete them when told to."""
    pruning = prune_cache(directory, remove)
    for file in pruning.ours:
        print(f"{'removed   ' if remove else 'unused    '} {file}")
    for file in pruning.others:
        print(f"left alone  {file}: not written by this pack, or damaged")
    size = f"{len(pruning.ours)} files, {pruning.ours_bytes / 1e6:.1f} MB"
    print(f"{size} removed" if remove else f"{size}; with --remove they are deleted")


def _lines(inspection: Inspection) -> Iterator[str]:
    cache, entries = inspection.cache, inspection.cache.entries
    yield f"cache       {cache.directory}: {len(entries)} entries for {cache.architecture}, encoder {cache.encoder}"
    if not inspection.complete:
        yield "unfinished  caching was broken off; run CacheLatents again, it goes on from there"
    yield "buckets     " + ", ".join(f"{width}x{height}: {n}" for (width, height), n in inspection.buckets.items())
    yield "masks       " + ", ".join(f"{origin.value}: {n}" for origin, n in cache.origin_counts().items())
    kinds = Counter(entry.kind for entry in entries)
    if set(kinds) - {WHOLE}:
        yield "crops       " + ", ".join(f"{kind}: {n}" for kind, n in sorted(kinds.items()))
    if inspection.coverages:
        mean = sum(inspection.coverages) / len(inspection.coverages)
        least, most = inspection.coverages[0], inspection.coverages[-1]
        yield f"coverage    mean {mean:.1%}, {least:.1%} to {most:.1%} of the entries with a mask"
    yield _text_line(inspection)
    readable = [check for check in inspection.checks if check.has_weights is not None]
    weighted = sum(bool(check.has_weights) for check in readable)
    total = len(inspection.checks)
    yield f"keys        latents_* in {len(readable)} of {total} files, mask_weights_* in {weighted} of {total}"
    stale = {entry.name: entry.reason for entry in inspection.stale}
    for check in inspection.checks:
        yield _file_line(check, stale.get(check.entry.name))
    for name in cache.missing_sources:
        yield f"moved       {name}: its sources are no longer there, which is no fault"
    for orphan in (*inspection.orphans, *inspection.unused_text):
        yield f"orphan      {orphan}: of no entry, not used; `maskloss cache prune` removes it"
    yield from (f"note        {note}" for note in cache.notes)


def _text_line(inspection: Inspection) -> str:
    cache = inspection.cache
    if cache.text_encoder is None:
        return "text        none; run CacheText before training"
    captions = {"", *(entry.caption for entry in cache.entries)}
    missing = len(cache.missing_captions())
    return f"text        {len(captions) - missing} of {len(captions)} captions by {cache.text_encoder}"


def _file_line(check: EntryCheck, stale: str | None) -> str:
    entry = check.entry
    if check.problem:
        return f"DAMAGED     {entry.file}: {check.problem}"
    weights = "mask_weights_*" if check.has_weights else "no mask_weights_*"
    crop = f", {entry.crop}" if entry.crop else ""
    told = f"{entry.file}: latents_*, {weights} ({entry.origin.value}, coverage {entry.coverage:.1%}{crop})"
    return f"ok          {told}" if stale is None else f"STALE       {told}: {stale}"
