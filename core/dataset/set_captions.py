"""Captions that come from other nodes become those of a dataset's items, with a trigger word put in by rule; text files
are written where asked."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import DatasetError
from ..files import read_text, write_text
from .captions import read_caption
from .crops import refuse_crops
from .items import Dataset, DatasetItem
from .trigger import insert_trigger

# Nothing that a program could run is ever written over.
TEXT_SUFFIXES = (".txt", ".caption")


@dataclass(frozen=True)
class CaptionRules:
    """What is done with captions: `trigger` is put into each that lacks it (see `insert_trigger`), and `write_sidecars`
    writes text files beside the photographs, or where such files lie already."""

    trigger: str = ""
    class_noun: str = ""
    write_sidecars: bool = False


def set_captions(
    dataset: Dataset, names: Sequence[str], captions: Sequence[str], rules: CaptionRules
) -> tuple[Dataset, dict[str, object]]:
    """Give the items named these captions, and every item the trigger.

    Returns the dataset and the report {"items": [{"name", "caption", "before", "state": set|unchanged, and "file":
    written|unchanged with `write_sidecars`}], "counts"}; items that nothing was done for are not among "items".
    DatasetError, before anything is written, for names that are unknown or given twice, for another number of captions
    than names, for crops whose text files would be their photograph's, and for text files that two items share.
    """
    given = _by_name(dataset, names, captions)
    if not given and not rules.trigger.strip():
        raise DatasetError("No names with captions were given, and no trigger; connect some, or give a trigger.")
    if rules.write_sidecars:
        refuse_crops(dataset, "Set Captions with write_sidecars")
    changed = {
        item.name: insert_trigger(given.get(item.name, item.caption), rules.trigger, rules.class_noun)
        for item in dataset.items
        if item.name in given or rules.trigger.strip()
    }
    targets = _targets(dataset, changed) if rules.write_sidecars else {}
    rows: list[dict[str, object]] = []
    items: list[DatasetItem] = []
    for item in dataset.items:
        if item.name not in changed:
            items.append(item)
            continue
        caption = changed[item.name]
        row: dict[str, object] = {"name": item.name, "caption": caption, "before": item.caption}
        row["state"] = "unchanged" if caption == item.caption else "set"
        path = None if caption != item.caption else item.caption_path
        if item.name in targets:
            path = targets[item.name]
            row["file"] = _write(path, caption)
        rows.append(row)
        items.append(replace(item, caption=caption, caption_path=path))
    states = Counter(row["state"] for row in rows)
    files = Counter(row.get("file") for row in rows)
    return replace(dataset, items=tuple(items)), {
        "items": rows,
        "counts": {
            "items": len(items), "set": states["set"], "unchanged": states["unchanged"], "written": files["written"],
        },
    }  # fmt: skip


def _by_name(dataset: Dataset, names: Sequence[str], captions: Sequence[str]) -> Mapping[str, str]:
    known = {item.name for item in dataset.items}
    for name, count in Counter(names).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else "use the names that Dataset Items gives."
            raise DatasetError(f"The dataset has no item {name}; {hint}")
        if count > 1:
            raise DatasetError(f"{name} was given {count} captions; give one.")
    if len(names) != len(captions):
        raise DatasetError(f"{len(names)} names came with {len(captions)} captions; give one caption for each name.")
    return {name: caption.replace("\r\n", "\n").strip() for name, caption in zip(names, captions, strict=True)}


def _targets(dataset: Dataset, changed: Mapping[str, str]) -> dict[str, Path]:
    """Where each item's text file lies or will lie: as its neighbours' do, else beside the photograph."""
    folders = {
        item.media_path.parent: (item.caption_path.parent, item.caption_path.suffix)
        for item in dataset.items
        if item.caption_path is not None and item.caption_path.suffix.lower() in TEXT_SUFFIXES
    }
    targets: dict[str, Path] = {}
    for item in dataset.items:
        if item.name not in changed:
            continue
        own = item.caption_path
        if own is None or own.suffix.lower() not in TEXT_SUFFIXES:
            folder, suffix = folders.get(item.media_path.parent, (item.media_path.parent, ".txt"))
            # One person's own is found by Keep People under this name; several share the photograph.
            person = f".{item.subject}" if item.subject else ""
            own = folder / f"{item.media_path.stem}{person}{suffix}"
        targets[item.name] = own
    twice = [path for path, count in Counter(targets.values()).items() if count > 1]
    if twice:
        sharing = [name for name, path in targets.items() if path == twice[0]]
        raise DatasetError(
            f"{' and '.join(sharing[:2])} would have the same text file {twice[0]}; rename one, or turn write_sidecars "
            "off."
        )
    own = {item.name: item.caption_path for item in dataset.items}
    for name, path in targets.items():
        if path != own[name] and path.exists() and read_caption(path) not in ("", changed[name]):
            raise DatasetError(
                f"{path} is there already with another caption, which {name} does not have; move it away, or turn "
                "write_sidecars off."
            )
    return targets


def _write(path: Path, caption: str) -> str:
    if path.exists() and read_text(path, "replace").strip() == caption:
        return "unchanged"
    write_text(path, caption + "\n" if caption else "")
    return "written"
