"""What people changed in the directories that steps fill, told without opening a file of theirs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ..dataset.files import MASK_LEDGER
from ..dataset.ledger_records import stored_in
from ..files import shorten_stem
from .ledger import TARGET_SUFFIXES


def edits_digest(directory: Path) -> str:
    """A digest of the files at or below `directory` that changed after its ledger was written, without opening any, and
    of those in the ledger that are gone: of what people put there, edited or deleted. What the step writes itself makes
    no difference, for its ledger comes last."""
    digest = hashlib.sha256()
    written_ns = {directory.parent: -1}
    for folder, folders, names in os.walk(directory):
        here = Path(folder)
        folders.sort()
        written_ns[here] = written_ns[here.parent]
        if MASK_LEDGER in names:
            written_ns[here] = (here / MASK_LEDGER).stat().st_mtime_ns
            for name in _list_deleted(here):
                digest.update(repr(name).encode("utf-8", "surrogateescape"))
        below = here.relative_to(directory).as_posix()
        for name in sorted(name for name in names if not name.startswith(".")):
            with suppress(FileNotFoundError):
                status = os.stat(os.path.join(folder, name))
                # The time of change may be an old one where a file was copied with it; the other one cannot be set.
                if max(status.st_mtime_ns, status.st_ctime_ns) > written_ns[here]:
                    seen = (below, name, status.st_size, status.st_mtime_ns)
                    digest.update(repr(seen).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _list_deleted(directory: Path) -> Iterator[str]:
    """Names in a ledger whose files are gone, as far as it can be read: the step says what is wrong with it."""
    folder = str(directory)
    for name, stored in stored_in(directory):
        if isinstance(stored, dict) and stored.get("sha256"):
            paths = (os.path.join(folder, shorten_stem(name, suffix) + suffix) for suffix in TARGET_SUFFIXES)
            if not any(map(os.path.exists, paths)):
                yield name
