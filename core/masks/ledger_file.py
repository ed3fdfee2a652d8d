"""The file of a ledger: JSON, a line for each name.

Not indented, because Python's fast encoder cannot indent. Written name by name, because the text of a million names
takes gigabytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from ..files import atomic_write, read_text


@dataclass(frozen=True)
class Record:
    """What a step noted about one name. `sha256` is of the written file; None where it decided to write none."""

    fingerprint: str
    sha256: str | None
    details: Mapping[str, object] = field(default_factory=dict)


def write_ledger(path: Path, step: str, records: Mapping[str, Record]) -> None:
    """Write the ledger of `step`, whole or not at all. DiskError as `atomic_write`."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(f'{{"step": {encode(step)}, "items": {{')
        for number, (name, record) in enumerate(sorted(records.items())):
            stored = {"fingerprint": record.fingerprint, "sha256": record.sha256, "details": dict(record.details)}
            file.write(f"{',' if number else ''}\n{encode(name)}: {encode(stored)}")
        file.write("\n}}\n")


def read_ledger(path: Path, step: str) -> dict[str, Record]:
    """The records in a ledger by name; none where it is not there. DatasetError where it is damaged or another step's.
    Older ones are indented."""
    if not path.exists():
        return {}
    try:
        stored = json.loads(read_text(path))
        owner, records = stored["step"], {name: record_from(record) for name, record in stored["items"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{path} is damaged ({error}); delete it, and set overwrite to have the files beside it made again."
        ) from error
    if owner != step:
        raise DatasetError(f"{path.parent} holds what {owner} wrote; choose another directory for {step}.")
    return records


def record_from(stored: Any) -> Record:
    """ValueError or TypeError where it is none."""
    hashes = (stored["fingerprint"], stored["sha256"] or "")
    if not all(isinstance(each, str) for each in hashes) or not isinstance(stored.get("details", {}), dict):
        raise ValueError(f"{stored} is no record")
    return Record(**stored)
