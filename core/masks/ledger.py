"""The ledger of a directory that a step fills: which files are ours, and from what they were made.

It makes a step idempotent on disk. Unchanged work is skipped, changed work redone, and a file that a person put there
or edited is told apart from ours by its hash. Entries go to a journal first, line by line, so that a step that is
killed loses nothing and takes no half-finished file for someone else's. Each process has a journal of its own, so that
several may fill one directory; one that ends while others write leaves its journal to them, and the last joins all.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TextIO

from ..dataset.files import MASK_LEDGER
from ..dataset.items import DatasetItem
from ..dataset.ledger_records import LedgerRecords, Record, record_from
from ..errors import DatasetError, DiskError
from ..files import convert_disk_errors, is_abandoned, lock_directory, process_tag, sha256_file, shorten_stem, sweep

MOST_NOTED = 50_000
"""Names after which a process joins its journal, so that no reader of it needs more than some 50 MB."""

# Of a photograph's mask, and of a video's.
TARGET_SUFFIXES = (".png", ".mkv")
_BEGUN = "begun"
_LEFT = "-left.journal"
# Who comes upon so many joins them, because all who open the ledger read them.
_MOST_LEFT = 16
# After that time a process that writes nothing is not relied on to join what others leave to it.
_SILENT_S = 900


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
        self._noted: dict[str, str] = {}  # since the journal was begun, as JSON
        self._journal_path = _new_journal(path)
        self._journal: TextIO | None = None
        self._journal_is_whole = True
        self._records = LedgerRecords(path, step, self._journal_path.name)
        self._records.check_other_layouts()
        self._lock = threading.Lock()

    def record(self, name: str) -> Record | None:
        """What was noted about `name`, if anything. DatasetError where the ledger is damaged there."""
        noted = self._noted.get(name)
        return self._records.get(name) if noted is None else record_from(json.loads(noted))

    def state(self, name: str, target: Path, fingerprint: str) -> FileState:
        """What lies at `target` now, given what it would be made from. DatasetError as `record`."""
        state = self._state(name, target, fingerprint)
        if state in (FileState.FOREIGN, FileState.EDITED) and self._look_again():
            return self._state(name, target, fingerprint)
        return state

    def _state(self, name: str, target: Path, fingerprint: str) -> FileState:
        record = self.record(name)
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
        """Write everything into one file and drop the journal; where other processes still write, leave the journal to
        the one that ends last."""
        if self._journal is None and not (self._noted and self._journal_path.exists()):
            # Of a process that was killed when all was done, which nobody has anything to add to.
            if any(map(_is_done, self._records.journals.paths())):
                self._join()
            return
        journal, self._journal = self._journal, None
        with suppress(OSError):  # a full disk; the ledger holds the same, and says so where it cannot be written either
            if journal is not None:  # else joining it was interrupted
                journal.close()
        if not self._leave():
            self._join()

    def _leave(self) -> bool:
        """Whether another process still writes, which is to join what this one noted as well."""
        if not self._journal_is_whole:
            return False
        with lock_directory(self._path.parent):  # of two that end at once, one sees that the other has
            journals = self._records.journals.paths()
            left = sum(path.name.endswith(_LEFT) for path in journals)
            if left >= _MOST_LEFT or not any(map(_is_written_elsewhere, journals)):
                return False
            with convert_disk_errors(self._journal_path):
                self._journal_path.rename(self._journal_path.with_name(f"{self._journal_path.stem}{_LEFT}"))
        return True

    def _note(self, name: str, record: Record) -> None:
        text = json.dumps(asdict(record))
        with self._lock:
            self._noted[name] = text
            try:
                with convert_disk_errors(self._journal_path):
                    if self._journal is None:
                        # The ledger comes first: its presence marks the directory as ours for whoever scans next.
                        if not self._path.exists():
                            self._join(own=False)
                        self._journal = self._journal_path.open("a", encoding="utf-8")
                    self._journal.write(f'{{"name": {json.dumps(name)}, {text[1:]}\n')
                    self._journal.flush()
            except DiskError:
                self._journal_is_whole = False
                raise
            if len(self._noted) >= MOST_NOTED:
                self._journal.close()
                self._journal = None
                self._join()

    def _join(self, own: bool = True) -> None:
        """Everything that any process noted, into one file; journals of processes that are done are in it then, and so
        is that of this one."""
        with convert_disk_errors(self._path.parent):
            self._path.parent.mkdir(parents=True, exist_ok=True)
        with lock_directory(self._path.parent):
            done = [path for path in self._records.journals.paths() if _is_done(path)]
            self._records.join(self._noted)
            for path in done:
                path.unlink(missing_ok=True)
            self._records.journals.look()
        if own:
            self._journal_path.unlink(missing_ok=True)
            self._journal_path = _new_journal(self._path)
            self._records.journals.own = self._journal_path.name
            self._noted, self._journal_is_whole = {}, True

    def _look_again(self) -> bool:
        """Take in what other processes noted since; False where they noted nothing."""
        with self._lock:
            return self._records.journals.look()


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


def _new_journal(path: Path) -> Path:
    # Several ledgers may be open in one process as well.
    return path.with_name(f"{path.stem}-{process_tag()}-{secrets.token_hex(3)}.journal")


def _is_done(journal: Path) -> bool:
    return journal.name.endswith(_LEFT) or is_abandoned(journal)


def _is_written_elsewhere(journal: Path) -> bool:
    """Whether another process is at it, as far as can be told."""
    if _is_done(journal) or f"-{process_tag()}-" in journal.name:
        return False
    try:
        return time.time() - journal.stat().st_mtime < _SILENT_S
    except FileNotFoundError:
        return False
