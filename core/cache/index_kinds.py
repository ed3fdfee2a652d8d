"""Type checks of an index's columns, so that a damaged index is found when it is opened."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import Any

Kind = Callable[[Sequence[Any]], bool]


def _are_texts(column: Sequence[Any]) -> bool:
    return set(map(type, column)) <= {str}


def _are_counts(column: Sequence[Any]) -> bool:
    return _are_whole_numbers(column) and min(column, default=0) >= 0


def _are_whole_numbers(column: Sequence[Any]) -> bool:
    is_packed = isinstance(column, array) and column.typecode == "q"
    return is_packed or set(map(type, column)) <= {int}


def _are_finite_numbers(column: Sequence[Any]) -> bool:
    return set(map(type, column)) <= {int, float} and all(map(math.isfinite, column))


def _are_tuples(length: int | None) -> Kind:
    """Whether a column holds tuples of `length` (None: any) whole numbers from 0 up."""

    def fit(column: Sequence[Any]) -> bool:
        return set(map(type, column)) <= {tuple} and all(
            length in (None, len(value)) and _are_counts(value) for value in set(column)
        )

    return fit


ENTRY_KINDS: dict[str, Kind] = {
    "name": _are_texts,
    "file": _are_texts,
    "coverage": _are_finite_numbers,
    "repeats": lambda column: _are_counts(column) and min(column, default=1) > 0,
    "image_size": _are_tuples(2),
    "bucket": _are_tuples(2),
    "latent_shape": _are_tuples(4),
    "caption": _are_texts,
    "latent_fingerprint": _are_texts,
    "mask_fingerprint": _are_texts,
    "file_bytes": _are_counts,
    "sources": _are_counts,
    "target_index": lambda column: _are_counts([value for value in column if value is not None]),
    "control_indices": _are_tuples(None),
    "image_channels": _are_counts,
    "references": _are_counts,
    "crop": _are_texts,
    "subject": _are_texts,
    "regularisation": lambda column: _are_finite_numbers(column) and all(0 <= value < 1 for value in column),
}
SOURCE_KINDS: dict[str, Kind] = {
    "role": _are_texts,
    "folder": _are_texts,
    "file": _are_texts,
    "size": _are_counts,
    "mtime_ns": _are_whole_numbers,
    "sha256": _are_texts,
}
