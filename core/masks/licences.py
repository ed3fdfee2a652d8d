"""Masks of everyone whose maker's licence forbids that people are told apart by their faces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from ..dataset.items import Dataset
from ..dataset.ledger_records import Record, records_in

FORBIDS_BIOMETRICS = "forbids_biometrics"
"""What a step notes of a mask: the name of the segmenter whose licence forbids biometric processing."""


def biometrics_warnings(dataset: Dataset, step: str) -> tuple[str, ...]:
    """A sentence for each directory in which `step` noted FORBIDS_BIOMETRICS of an item's mask, and each segmenter.

    Masks that were moved out of that directory, or put into alpha, say nothing.
    """
    ledgers: dict[Path, Mapping[str, Record]] = {}
    makers: dict[tuple[Path, object], None] = {}
    for item in dataset.items:
        depth = len(PurePosixPath(item.whole_name).parts) - 1
        if item.mask_path is None or len(item.mask_path.parents) <= depth:
            continue
        directory = item.mask_path.parents[depth]
        if directory not in ledgers:
            ledgers[directory] = records_in(directory, step)
        record = ledgers[directory].get(item.whole_name)
        if record is not None and FORBIDS_BIOMETRICS in record.details:
            makers[directory, record.details[FORBIDS_BIOMETRICS]] = None
    return tuple(
        f"The masks in {directory} were built by {maker}, whose licence forbids biometric processing, and people are "
        "told apart by their faces here: build them with another part segmenter."
        for directory, maker in makers
    )
