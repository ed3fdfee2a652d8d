"""What the scan of a dataset found, and how its mask files are read, in the report's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..dataset.items import Dataset, DatasetItem
from ..dataset.load import uses_mask_file
from ..dataset.mask_facts import MaskFacts, mask_facts
from ..errors import DatasetError, ImageError
from .page import Names, Photograph


def mask_reads(dataset: Dataset | None) -> Mapping[str, MaskFacts]:
    """How the mask file of each item is read that uses one, by the item's name. Files that cannot be read are passed
    by: their rows say so."""
    found = ((item.name, _read(item)) for item in (dataset.items if dataset else ()))
    return {name: facts for name, facts in found if facts is not None}


def with_read(row: Photograph, reads: Mapping[str, MaskFacts]) -> Photograph:
    """A photograph's row with how its mask file is read."""
    facts = reads.get(row.name)
    if facts is None:
        return row
    values = f"values {facts.lowest:g} to {facts.highest:g}, {facts.full:g} is full weight"
    told = f"{facts.meaning.value} ({facts.layout}; {values}; {facts.fraction:.0%} of the picture has weight)"
    notes = (*row.notes, f"Its mask: {facts.note}.") if facts.note else row.notes
    return replace(row, facts=(*row.facts, ("mask file read by", told)), notes=notes)


def read_table(reads: Mapping[str, MaskFacts]) -> tuple[tuple[str, str], ...]:
    """Of each kind of mask file: how many there are, their fraction of all, their values, and how much has weight."""
    kinds: dict[tuple[str, str], list[MaskFacts]] = {}
    for facts in reads.values():
        kinds.setdefault((facts.meaning.value, facts.layout), []).append(facts)
    return tuple(
        (f"{meaning}: {layout}", _describe(some, len(reads))) for (meaning, layout), some in sorted(kinds.items())
    )


def names_found(dataset: Dataset | None) -> tuple[Names, ...]:
    """Every count of the scan with the names behind it."""
    return tuple(Names(found.what, found.count, found.names) for found in (dataset.found if dataset else ()))


def _read(item: DatasetItem) -> MaskFacts | None:
    try:
        return mask_facts(item) if uses_mask_file(item) else None
    except (ImageError, DatasetError, OSError):
        return None


def _describe(facts: Sequence[MaskFacts], of: int) -> str:
    lowest, highest = min(each.lowest for each in facts), max(each.highest for each in facts)
    fraction = sum(each.fraction for each in facts) / len(facts)
    return (
        f"{len(facts)} of {of} files ({len(facts) / of:.0%}), values {lowest:g} to {highest:g}, {fraction:.0%} of the "
        "picture has weight on average"
    )
