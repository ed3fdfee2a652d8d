"""Mask files that other programs write beside their photographs, and what a name is near to."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence

from ..errors import DatasetError
from ..photo.formats import IMAGE_SUFFIXES
from .files import FoundFile

# OneTrainer and others. What ends so is never a photograph where its photograph lies beside it; OneTrainer's own never
# at all. Its `-condlabel` is a picture that an inpainting model is shown.
SHOWN, MASK_LABEL = "-condlabel", "-masklabel"
_ALWAYS, _ENDINGS = (MASK_LABEL, SHOWN), (MASK_LABEL, "_mask", "-mask", ".mask", SHOWN)
_FOLDERS = re.compile(r"(masks?|masklabels?|mattes?|segs?|segmentations?)")
# Comparing letter by letter takes long where both lists are.
_MOST_LOOKED = 20
_BREAK = re.compile(r"[-_. (]+")
_MARK = re.compile(r"[-_. ]*(masklabel|mask|matte|alpha|seg)[-_. ]*")


def split_masks(files: Sequence[FoundFile]) -> tuple[list[FoundFile], dict[str, FoundFile], list[FoundFile]]:
    """Pictures of one folder: the photographs, the masks beside them by the photographs' names, and masks whose
    photograph is not there. DatasetError when two masks lie beside one photograph."""
    by_key = {_key(file.name): file for file in files}
    photographs: list[FoundFile] = []
    masks: dict[str, FoundFile] = {}
    alone: list[FoundFile] = []
    for file in files:
        ending = next((each for each in _ENDINGS if file.name.lower().endswith(each)), "")
        owner = by_key.get(_key(file.name[: -len(ending)])) if ending else None
        if owner is not None and ending != SHOWN:
            other = masks.setdefault(owner.name, file)
            if other is not file:
                raise DatasetError(
                    f"Two mask files could belong to {owner.name}: {other.path} and {file.path}; keep one of them."
                )
        elif ending in _ALWAYS:
            alone.append(file)
        else:
            photographs.append(file)
    return photographs, masks, alone


def mask_like(names: Sequence[str]) -> list[str]:
    """Those of the photographs that look like masks of others: `seg_p`, `p_matte` and `masks/p` beside `p`."""
    plain = {name: _plain(name) for name in names}
    like = {
        name
        for name in names
        if plain[name] != _key(name).rpartition("/")[2] or any(map(_FOLDERS.fullmatch, _key(name).split("/")[:-1]))
    }
    photographs = {plain[name] for name in names if name not in like}
    return [name for name in names if name in like and plain[name] in photographs]


def near_names(orphans: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """For orphans that look like one of `names` under another name (`IMG_2_mask`, `IMG_2 (1)` and `IMG-2` for `IMG_2`):
    that name. Those that only have an ending more are told always, of others those of the first 20 that are alike."""
    plain = {_plain(name): name for name in names}
    near: dict[str, str] = {}
    looked = 0
    for orphan in orphans:
        key = _plain(orphan)
        begins = [key, *(key[: mark.start()] for mark in reversed(list(_BREAK.finditer(key))))]
        begin = next((each for each in begins if each in plain), None)
        if begin is not None:
            near[orphan] = plain[begin]
        elif looked < _MOST_LOOKED and plain:
            looked += 1
            alike = difflib.get_close_matches(key, plain, n=1, cutoff=0.8)
            near.update({orphan: plain[alike[0]]} if alike else {})
    return near


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).lower()


def _plain(name: str) -> str:
    bare = _MARK.sub("", _key(name).rpartition("/")[2])
    # `p.jpg.png` for `p.jpg`.
    stem, dot, suffix = bare.rpartition(".")
    return stem if stem and dot + suffix in IMAGE_SUFFIXES else bare
