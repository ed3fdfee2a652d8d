"""What the columns of an index have to hold, so that a damaged one is found when it is opened."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

Kind = Callable[[Sequence[Any]], bool]


def _texts(column: Sequence[Any]) -> bool:
    return set(map(type, column)) <= {str}


def _counts(column: Sequence[Any]) -> bool:
    return _whole_numbers(column) and min(column, default=0) >= 0


def _whole_numbers(column: Sequence[Any]) -> bool:
    return isinstance(column, array) or set(map(type, column)) <= {int}


def _numbers_all(column: Sequence[Any]) -> bool:
    return set(map(type, column)) <= {int, float} and all(map(math.isfinite, column))


def _tuples(length: int | None) -> Kind:
    """Whether a column holds tuples of `length` (None: any) whole numbers from 0 up."""

    def fit(column: Sequence[Any]) -> bool:
        return set(map(type, column)) <= {tuple} and all(
            length in (None, len(value)) and _counts(value) for value in set(column)
        )

    return fit


ENTRY_KINDS: dict[str, Kind] = {
    "name": _texts,
    "file": _texts,
    "coverage": _numbers_all,
    "repeats": lambda column: _counts(column) and min(column, default=1) > 0,
    "image_size": _tuples(2),
    "bucket": _tuples(2),
    "latent_shape": _tuples(4),
    "caption": _texts,
    "latent_fingerprint": _texts,
    "mask_fingerprint": _texts,
    "file_bytes": _counts,
    "sources": _counts,
    "target_index": lambda column: _counts([value for value in column if value is not None]),
    "control_indices": _tuples(None),
    "image_channels": _counts,
}
SOURCE_KINDS: dict[str, Kind] = {
    "role": _texts,
    "folder": _texts,
    "file": _texts,
    "size": _counts,
    "mtime_ns": _whole_numbers,
    "sha256": _texts,
}
