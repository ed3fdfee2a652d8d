"""The ledger of a directory that a step fills: which files are ours, and from what they were made.

It makes a step idempotent on disk. Unchanged work is skipped, changed work redone, and a file that a person put there
or edited is told apart from ours by its hash. Entries go to a journal first, line by line, so that a step that is
killed loses nothing and takes no half-finished file for someone else's. Each process has a journal of its own, so that
several may fill one directory.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TextIO

from ..dataset.files import MASK_LEDGER
from ..dataset.items import DatasetItem
from ..errors import DatasetError
from ..files import (
    convert_disk_errors,
    is_abandoned,
    lock_directory,
    process_tag,
    read_text,
    sha256_file,
    shorten_stem,
    sweep,
)
from .ledger_file import Record, read_ledger, record_from, write_ledger

# Of a photograph's mask, and of a video's.
TARGET_SUFFIXES = (".png", ".mkv")
_BEGUN = "begun"


class FileState(Enum):
    """What lies at a step's target."""

    ABSENT = "absent"
    UNCHANGED = "unchanged"
    OUTDATED = "outdated"
    EDITED = "edited"
    FOREIGN = "foreign"


class Ledger:
    """Records by item name, for one directory and one step, for any number of threads. Open it with `open_ledger`."""

    def __init__(self, path: Path, step: str) -> None:
        self._path, self._step = path, step
        self.place = path.parent, step, path.name  # by which another process opens the same one
        self._noted: dict[str, Record] = {}
        self._seen = _listing(path)  # before it is read, so that what is noted meanwhile is looked at again
        self._records = _read_records(path, step)
        # Several ledgers may be open in one process as well.
        self._journal_path = path.with_name(f"{path.stem}-{process_tag()}-{secrets.token_hex(3)}.journal")
        self._journal: TextIO | None = None
        self._lock = threading.Lock()

    def record(self, name: str) -> Record | None:
        """What was noted about `name`, if anything."""
        return self._records.get(name)

    def state(self, name: str, target: Path, fingerprint: str) -> FileState:
        """What lies at `target` now, given what it would be made from."""
        state = self._state(name, target, fingerprint)
        if state in (FileState.FOREIGN, FileState.EDITED) and self._look_again():
            return self._state(name, target, fingerprint)
        return state

    def _state(self, name: str, target: Path, fingerprint: str) -> FileState:
        record = self._records.get(name)
        if record is None or record.sha256 is None:
            if target.exists():
                return FileState.FOREIGN
            decided = record is not None and record.fingerprint == fingerprint
            return FileState.UNCHANGED if decided else FileState.ABSENT
        if not target.exists():
            return FileState.ABSENT
        if record.sha256 == _BEGUN:
            return FileState.OUTDATED
        if sha256_file(target) != record.sha256:
            return FileState.EDITED
        return FileState.UNCHANGED if record.fingerprint == fingerprint else FileState.OUTDATED

    def begin(self, name: str, fingerprint: str) -> None:
        """Note that the file of `name` is about to be written, so that it counts as ours from now on."""
        self._note(name, Record(fingerprint, _BEGUN))

    def finish(self, name: str, fingerprint: str, target: Path | None, details: Mapping[str, object]) -> None:
        """Note that `target` is written (None: that there is none to write)."""
        self._note(name, Record(fingerprint, None if target is None else sha256_file(target), dict(details)))

    def close(self) -> None:
        """Write everything into one file and drop the journal."""
        if self._journal is None:
            # Of a process that was killed when all was done, which nobody has anything to add to.
            if any(map(is_abandoned, _journals(self._path))):
                self._write()
            return
        journal, self._journal = self._journal, None
        with suppress(OSError):  # a full disk; the ledger holds the same, and says so where it cannot be written either
            journal.close()
        self._write()
        self._journal_path.unlink(missing_ok=True)

    def _note(self, name: str, record: Record) -> None:
        with self._lock:
            self._records[name] = self._noted[name] = record
            with convert_disk_errors(self._journal_path):
                if self._journal is None:
                    # The ledger itself comes first: its presence marks the directory as ours for whoever scans next.
                    if not self._path.exists():
                        self._write()
                    self._journal = self._journal_path.open("w", encoding="utf-8")
                self._journal.write(json.dumps({"name": name, **asdict(record)}) + "\n")
                self._journal.flush()

    def _write(self) -> None:
        """Everything that any process noted, into one file; journals of processes that are gone are in it then."""
        with convert_disk_errors(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with lock_directory(self._path.parent):
            gone = [path for path in _journals(self._path) if is_abandoned(path)]
            # Read again whatever the times of change say, which network drives tell late. What was read before goes
            # first: of a million names it takes gigabytes.
            self._records = dict(self._noted)
            self._records = {**_read_records(self._path, self._step), **self._noted}
            write_ledger(self._path, self._step, self._records)
            for path in gone:
                path.unlink(missing_ok=True)

    def _look_again(self) -> bool:
        """Take in what other processes noted since; False where they noted nothing."""
        with self._lock:
            listing = _listing(self._path)
            if listing == self._seen:
                return False
            self._seen = listing
            self._records = {**_read_records(self._path, self._step), **self._noted}
            return True


@contextmanager
def open_ledger(directory: Path, step: str, file_name: str = MASK_LEDGER) -> Generator[Ledger, None, None]:
    """The ledger of `directory`; it is saved on the way out, after an interrupt too.

    DatasetError when the directory belongs to another step or its ledger is damaged.
    """
    path = directory / file_name
    sweep(directory)
    ledger = Ledger(path, step)
    try:
        yield ledger
    finally:
        ledger.close()


def records_in(directory: Path, step: str) -> Mapping[str, Record]:
    """What `step` noted in `directory`, by item name; nothing where the directory is not its own."""
    try:
        return _read_records(directory / MASK_LEDGER, step)
    except DatasetError:
        return {}


def edits_digest(directory: Path) -> str:
    """A digest of the files at or below `directory` that changed after its ledger was written, without opening any, and
    of those in the ledger that are gone: of what people put there, edited or deleted. What the step writes itself makes
    no difference, for its ledger comes last."""
    digest = hashlib.sha256()
    written_ns = {directory.parent: -1}
    for folder, folders, names in os.walk(directory):
        here = Path(folder)
        folders.sort()
        ledger = here / MASK_LEDGER
        written_ns[here] = written_ns[here.parent]
        if MASK_LEDGER in names:
            written_ns[here] = ledger.stat().st_mtime_ns
            digest.update("".join(map(repr, _list_deleted(ledger))).encode("utf-8", "surrogateescape"))
        below = here.relative_to(directory).as_posix()
        for name in sorted(name for name in names if not name.startswith(".")):
            with suppress(FileNotFoundError):
                status = os.stat(os.path.join(folder, name))
                # The time of change may be an old one where a file was copied with it; the other one cannot be set.
                if max(status.st_mtime_ns, status.st_ctime_ns) > written_ns[here]:
                    seen = (below, name, status.st_size, status.st_mtime_ns)
                    digest.update(repr(seen).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _list_deleted(path: Path) -> list[str]:
    """Names in a ledger whose files are gone; none where it is damaged, which the step will say."""
    try:
        records = _read_records(path, json.loads(read_text(path))["step"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, DatasetError):
        return []
    folder = str(path.parent)
    targets = {
        name: [os.path.join(folder, shorten_stem(name, suffix) + suffix) for suffix in TARGET_SUFFIXES]
        for name in sorted(records)
    }
    return [name for name, paths in targets.items() if records[name].sha256 and not any(map(os.path.exists, paths))]


def target_for(item: DatasetItem, directory: Path, longest_ending: str = "") -> Path:
    """Where a step writes its mask of `item`, a PNG or a mask video (.mkv); a very long name is shortened, so that
    `longest_ending` fits behind it as well.

    DatasetError when that would be beside, or in place of, the photograph.
    """
    suffix = TARGET_SUFFIXES[item.is_video]
    target = directory / (shorten_stem(item.name, max(suffix, longest_ending, key=len)) + suffix)
    if target.parent.resolve() == item.media_path.parent.resolve():
        raise DatasetError(
            f"The output would lie beside the photographs in {target.parent}; choose another output_directory."
        )
    return target


def _read_records(path: Path, step: str) -> dict[str, Record]:
    """What the ledger and all journals beside it say."""
    while True:
        journals = _journals(path)
        records = read_ledger(path, step)
        noted = [_read_journal(journal) for journal in journals]
        if None not in noted:  # else a process is done, and what it noted stands in the ledger now
            return {**records, **{name: record for each in noted for name, record in each or ()}}


def _journals(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.stem}-*.journal"))


def _listing(path: Path) -> list[tuple[str, int, int]]:
    """What tells whether another process noted something since."""
    found: list[tuple[str, int, int]] = []
    for each in (path, *_journals(path)):
        try:
            status = each.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise DatasetError(f"{each} cannot be read ({error.strerror}); take it away and run again.") from error
        found.append((each.name, status.st_size, status.st_mtime_ns))
    return found


def _read_journal(path: Path) -> list[tuple[str, Record]] | None:
    """What a process noted; None where the journal is gone."""
    try:
        lines = read_text(path, errors="replace").splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error}); take it away and run again.") from error
    found: list[tuple[str, Record]] = []
    for line in lines:
        try:
            entry = json.loads(line)
            found.append((str(entry.pop("name")), record_from(entry)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            break  # the line during which the step was killed is the last one
    return found
