"""Several datasets become one: names stay unique, and each keeps its share of an epoch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..errors import SettingError
from ..warning import warn
from .items import Dataset, DatasetItem, Found, LeftOut


def _add_counts(datasets: Sequence[Dataset]) -> tuple[Found, ...]:
    """What the scans of all of them had found, one after the other in each count."""
    together: dict[str, Found] = {}
    for each in (each for dataset in datasets for each in dataset.found):
        before = together.get(each.what, Found(each.what, 0, ()))
        together[each.what] = Found(each.what, before.count + each.count, before.names + each.names)
    return tuple(together.values())


@dataclass(frozen=True)
class _Part:
    """One of the datasets that are joined: its place among them, and its items with those that were left out."""

    number: int
    dataset: Dataset

    @property
    def items(self) -> Iterator[DatasetItem]:
        yield from self.dataset.items
        yield from (left.item for left in self.dataset.left_out)


def join_datasets(datasets: Sequence[Dataset]) -> Dataset:
    """All items in order, what was left out included. A name that several datasets have is prefixed by the folder that
    the photograph comes from, by as many of its parents as it takes to tell them apart."""
    parts = [_Part(number, dataset) for number, dataset in enumerate(datasets, 1)]
    names = _unique_names(parts)
    items: list[DatasetItem] = []
    left_out: list[LeftOut] = []
    for part in parts:
        items += [replace(item, name=names[part.number, item.name]) for item in part.dataset.items]
        left_out += [
            LeftOut(replace(left.item, name=names[part.number, left.item.name]), left.reason)
            for left in part.dataset.left_out
        ]
    return Dataset(tuple(items), tuple(left_out), _add_counts(datasets))


def merge_datasets(
    first: Dataset, second: Dataset, first_weight: float = 1.0, second_weight: float = 1.0
) -> tuple[Dataset, tuple[str, ...]]:
    """Both datasets as one; repeats are multiplied by the weights and rounded, to 1 at least.

    Returns it with what came out, a sentence for each. SettingError when a weight is not above 0.
    """
    scaled: list[Dataset] = []
    messages: list[str] = []
    for which, dataset, weight in (("first", first, first_weight), ("second", second, second_weight)):
        if not (math.isfinite(weight) and weight > 0):
            raise SettingError(f"{which}_weight is {weight}; it must be above 0, leave the dataset out instead.")
        items = tuple(replace(item, repeats=_scale_repeats(item.repeats, weight)) for item in dataset.items)
        scaled.append(replace(dataset, items=items))
        messages.append(_came_out(which, dataset, items))
        raised = sum(item.repeats * weight < 0.5 for item in dataset.items)
        if raised:
            messages.append(
                warn(
                    f"{raised} items of {which} would come less than once at {which}_weight {weight:g} and come once; "
                    "raise the other weight instead."
                )
            )
    merged = join_datasets(scaled)
    own = {item.name for dataset in scaled for item in dataset.items}
    if renamed := [item.name for item in merged.items if item.name not in own]:
        messages.append(f"{len(renamed)} items share their names and are prefixed by their folders, as {renamed[0]}.")
    return merged, tuple(messages)


def _scale_repeats(repeats: int, weight: float) -> int:
    return max(1, math.floor(repeats * weight + 0.5))


def _came_out(which: str, dataset: Dataset, items: Sequence[DatasetItem]) -> str:
    before, after = (sum(item.repeats for item in some) for some in (dataset.items, items))
    return f"{which}: {len(items)} items, {after} per epoch" + ("." if before == after else f" (were {before}).")


def _unique_names(parts: Sequence[_Part]) -> dict[tuple[int, str], str]:
    """By the number of the dataset and the item's name there, the name in the whole."""
    folders: defaultdict[str, dict[int, Path]] = defaultdict(dict)
    for part in parts:
        for item in part.items:
            folders[item.name].setdefault(part.number, _folder(item))
    taken = {name for name, owners in folders.items() if len(owners) == 1}
    names: dict[tuple[int, str], str] = {}
    for name, owners in folders.items():
        if len(owners) == 1:
            names[next(iter(owners)), name] = name
            continue
        prefixes = _prefixes(owners)
        if len(set(prefixes.values())) < len(prefixes) or any(f"{p}/{name}" in taken for p in prefixes.values()):
            prefixes = _number_names(owners, name, taken)
        for number, prefix in prefixes.items():
            names[number, name] = f"{prefix}/{name}"
            taken.add(names[number, name])
    return names


def _prefixes(owners: dict[int, Path]) -> dict[int, str]:
    """The folders' names, with as many parents as tell them apart."""
    parts = {number: [part for part in folder.parts if part != folder.anchor] for number, folder in owners.items()}
    prefixes: dict[int, str] = {}
    for depth in range(1, max(map(len, parts.values())) + 1):
        prefixes = {number: "/".join(names[-depth:]) for number, names in parts.items()}
        if len(set(prefixes.values())) == len(prefixes):
            break
    return prefixes


def _number_names(owners: dict[int, Path], name: str, taken: set[str]) -> dict[int, str]:
    """The same folder more than once: its name and the dataset's number."""
    prefixes: dict[int, str] = {}
    for number, folder in owners.items():
        prefix = f"{folder.name}-{number}"
        while f"{prefix}/{name}" in taken:
            prefix += "-"
        prefixes[number] = prefix
    return prefixes


def _folder(item: DatasetItem) -> Path:
    """The folder below which `item` has its name; where it was renamed since, the one that it lies in."""
    stem = item.media_path.with_suffix("")
    parts = PurePosixPath(item.whole_name).parts
    depth = len(parts)
    renamed = stem.parts[-depth:] != parts
    return stem.parent if renamed else stem.parents[depth - 1]
