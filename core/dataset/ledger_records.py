"""What a ledger and the journals beside it say of a directory that a step fills, read where it is asked for.

Journals are read whole, for what a process notes in one is bounded; the ledger is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from ..files import refuse_special
from ..sorted_lines import SortedLines, encode_line, write_lines
from .files import MASK_LEDGER

STEP = "step"
_DAMAGES = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Record:
    """What a step noted about one name. `sha256` is of the written file; None where it decided to write none."""

    fingerprint: str
    sha256: str | None
    details: Mapping[str, object] = field(default_factory=dict)


def record_from(stored: Any) -> Record:
    """ValueError, KeyError, AttributeError or TypeError where it is none."""
    hashes = (stored["fingerprint"], stored["sha256"] or "")
    if not all(isinstance(each, str) for each in hashes) or not isinstance(stored.get("details", {}), dict):
        raise ValueError(f"{stored} is no record")
    return Record(**stored)


class Journals:
    """The journals beside the ledger `path`, but `own`. A name that several noted is what the one changed last says."""

    def __init__(self, path: Path, own: str = "") -> None:
        self._path, self.own = path, own
        self._seen: list[tuple[int, str, int]] | None = None
        self._read: dict[str, _Journal] = {}
        self.notes: Mapping[str, str] = {}
        """JSON of what is noted, by name."""

    def paths(self) -> list[Path]:
        """All of them, also `own`."""
        return list(self._path.parent.glob(f"{self._path.stem}-*.journal"))

    def look(self, always: bool = False) -> bool:
        """Take in what was noted since; False where neither a journal nor the ledger changed. `always`: whatever their
        times of change say, which network drives tell late. DatasetError where one cannot be read."""
        seen = self._list()
        if seen == self._seen and not always:
            return False
        self._seen = seen
        names = [name for _, name, _ in seen if name != self._path.name]
        self._read = {name: self._read.get(name) or _Journal(self._path.with_name(name)) for name in names}
        for journal in self._read.values():
            journal.read_on()
        self.notes = {name: text for journal in self._read.values() for name, text in journal.notes.items()}
        return True

    def _list(self) -> list[tuple[int, str, int]]:
        found: list[tuple[int, str, int]] = []
        for each in (self._path, *self.paths()):
            try:
                status = each.stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                raise DatasetError(f"{each} cannot be read ({error.strerror}); take it away and run again.") from error
            if each.name != self.own:
                found.append((status.st_mtime_ns, each.name, status.st_size))
        return sorted(found)


class _Journal:
    """One journal, which its process may still write."""

    def __init__(self, path: Path) -> None:
        self._path, self._read_bytes = path, 0
        self.notes: dict[str, str] = {}

    def read_on(self) -> None:
        # One that is gone is in the ledger, which is read after this.
        try:
            refuse_special(self._path)
            with self._path.open("rb") as file:
                file.seek(self._read_bytes)
                for line in file:
                    try:
                        stored = json.loads(line.decode(errors="replace"))
                        name = str(stored.pop("name"))
                        record_from(stored)
                    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                        return  # the line during which the step was killed, or which is being written, is the last one
                    self.notes[name] = json.dumps(stored)
                    self._read_bytes += len(line) if line.endswith(b"\n") else 0
        except FileNotFoundError:
            return
        except OSError as error:
            raise DatasetError(f"{self._path} cannot be read ({error}); take it away and run again.") from error


class LedgerRecords(Mapping[str, Record]):
    """Records by item name, of one step, as they are when they are asked for; journals as they were at the last look.

    DatasetError when the directory belongs to another step, and when the ledger is damaged: at once, or when the
    damaged place is read.
    """

    def __init__(self, path: Path, step: str, own_journal: str = "") -> None:
        self._path, self._step = path, step
        self.journals = Journals(path, own_journal)
        self.lines = SortedLines(path)
        self.journals.look()
        self.check_step()

    def check_step(self) -> None:
        """DatasetError when the directory belongs to another step, or that cannot be read."""
        try:
            head = self.lines.head()
            owner = None if head is None else head[STEP]
        except _DAMAGES as error:
            raise self.damaged(error) from error
        if owner is not None and owner != self._step:
            raise DatasetError(
                f"{self._path.parent} holds what {owner} wrote; choose another directory for {self._step}."
            )

    def check_other_layouts(self) -> None:
        """DatasetError where a ledger that is read whole, as those of earlier versions are, holds something else than
        records."""
        try:
            for stored in (self.lines.whole() or {}).values():
                record_from(stored)
        except _DAMAGES as error:
            raise self.damaged(error) from error

    def join(self, noted: Mapping[str, str]) -> None:
        """Write what the ledger, all journals and `noted` (JSON by name) say into the ledger; of several the last one
        counts. DiskError as `atomic_write`."""
        self.journals.look(always=True)
        self.lines.forget()
        self.check_step()
        stored = {name: json.loads(text) for name, text in {**self.journals.notes, **noted}.items()}
        lines = {name: encode_line(name, value) for name, value in stored.items()}
        try:
            write_lines(self._path, {STEP: self._step}, self.lines, lines)
        except _DAMAGES as error:
            raise self.damaged(error) from error
        finally:
            self.lines.forget()

    def damaged(self, error: Exception) -> DatasetError:
        """What is said of a ledger that is not readable."""
        return DatasetError(
            f"{self._path} is damaged ({error}); delete it, and set overwrite to have the files beside it made again."
        )

    def __getitem__(self, name: str) -> Record:
        noted = self.journals.notes.get(name)
        try:
            stored = json.loads(noted) if noted is not None else self.lines.get(name)
            if stored is not None:
                return record_from(stored)
        except _DAMAGES as error:
            raise self.damaged(error) from error
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self.stored())

    def __len__(self) -> int:
        return sum(1 for _ in self.stored())

    def __bool__(self) -> bool:
        try:
            return bool(self.journals.notes) or self.lines.has_items()
        except _DAMAGES as error:
            raise self.damaged(error) from error

    def records(self) -> Iterator[tuple[str, Record]]:
        """Every name and its record, in the order of the names."""
        for name, stored in self.stored():
            try:
                record = record_from(stored)
            except _DAMAGES as error:
                raise self.damaged(error) from error
            yield name, record

    def stored(self) -> Iterator[tuple[str, Any]]:
        """Every name and what stands under it, in the order of the names."""
        notes = self.journals.notes
        try:
            waiting = iter(sorted(notes))
            following = next(waiting, None)
            for name, value in self.lines.items():
                while following is not None and following < name:
                    yield following, json.loads(notes[following])
                    following = next(waiting, None)
                if following == name:
                    value = json.loads(notes[name])
                    following = next(waiting, None)
                yield name, value
            while following is not None:
                yield following, json.loads(notes[following])
                following = next(waiting, None)
        except _DAMAGES as error:
            raise self.damaged(error) from error


class _Readable(LedgerRecords):
    """What of them can be read."""

    def __getitem__(self, name: str) -> Record:
        try:
            return super().__getitem__(name)
        except DatasetError:
            raise KeyError(name) from None

    def __bool__(self) -> bool:
        try:
            return super().__bool__()
        except DatasetError:
            return False

    def stored(self) -> Iterator[tuple[str, Any]]:
        try:
            yield from super().stored()
        except DatasetError:
            return


def records_in(directory: Path, step: str) -> Mapping[str, Record]:
    """What `step` noted in `directory`, by item name, as far as it can be read; nothing where the directory is not its
    own."""
    try:
        return _Readable(directory / MASK_LEDGER, step)
    except DatasetError:
        return {}


def step_of(path: Path) -> str | None:
    """The step that keeps the ledger `path`; None where there is none that can be read."""
    try:
        head = SortedLines(path).head()
        return None if head is None else str(head[STEP])
    except _DAMAGES:
        return None


def stored_in(directory: Path, step: str | None = None) -> Iterator[tuple[str, Any]]:
    """Every name that `step` (None: whichever it is) noted in `directory` and what is stored under it, which may be any
    JSON, as far as it can be read."""
    step = step or step_of(directory / MASK_LEDGER)
    records = {} if step is None else records_in(directory, step)
    return records.stored() if isinstance(records, LedgerRecords) else iter(())
