"""The result of a part segmenter: one class per pixel, and which classes are face and hair.

`_HW` is the pixel grid of the picture.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np

from ..errors import InternalError, SettingError

TIER_NAMES = ("face", "hair", "body")


@dataclass(frozen=True)
class PartScheme:
    """A class table. `names[0]` is the background; what is neither it, face nor hair is body."""

    id: str
    names: tuple[str, ...]
    face: frozenset[str]
    hair: frozenset[str]

    def __post_init__(self) -> None:
        if len(self.names) < 2 or len(set(self.names)) != len(self.names):
            raise InternalError(f"scheme {self.id}: class names must be at least two and distinct: {self.names}")
        foreign = (self.face | self.hair) - set(self.names[1:])
        if foreign or self.face & self.hair:
            raise InternalError(f"scheme {self.id}: face and hair must be disjoint sets of its classes: {foreign}")

    @property
    def body(self) -> frozenset[str]:
        """Every class that is neither the background, face nor hair."""
        return frozenset(self.names[1:]) - self.face - self.hair

    def class_id(self, name: str) -> int:
        """The number of one class; upper and lower case count the same where that is unambiguous.

        Raises SettingError with the nearest name when the scheme has no such class.
        """
        wanted = name.strip()
        if wanted in self.names:
            return self.names.index(wanted)
        folded = [index for index, known in enumerate(self.names) if known.lower() == wanted.lower()]
        if len(folded) == 1:
            return folded[0]
        by_folded = {known.lower(): known for known in self.names}
        near = difflib.get_close_matches(wanted.lower(), by_folded, n=1, cutoff=0.5)
        hint = f"did you mean {by_folded[near[0]]!r}?" if near else f"its classes are {', '.join(self.names)}."
        raise SettingError(f"The part scheme {self.id} has no class {wanted!r}; {hint}")

    def tier_ids(self, tier: str) -> tuple[int, ...]:
        """The class numbers of `face`, `hair` or `body`, ascending (empty when the scheme has none of that tier)."""
        members = {"face": self.face, "hair": self.hair, "body": self.body}[tier]
        return tuple(index for index, name in enumerate(self.names) if name in members)

    def ids(self, names: Iterable[str]) -> tuple[int, ...]:
        """Class numbers of `names`, ascending, each once.

        A name is a class of the scheme or one of the tiers `face`, `hair`, `body` (lower case; the whole tier, even
        where a class has the same name). Raises SettingError with the nearest name on an unknown one.
        """
        found: set[int] = set()
        for name in names:
            if name.strip() in TIER_NAMES:
                found.update(self.tier_ids(name.strip()))
            else:
                found.add(self.class_id(name))
        return tuple(sorted(found))


@dataclass(frozen=True, eq=False)
class PartMap:
    """label_HW: integer class numbers of `scheme`. `approximate`: the segmenter guesses some tiers (hair, mostly)."""

    label_HW: np.ndarray
    scheme: PartScheme
    approximate: bool = False

    def __post_init__(self) -> None:
        label_HW = self.label_HW
        if label_HW.ndim != 2 or label_HW.size == 0 or not np.issubdtype(label_HW.dtype, np.integer):
            raise InternalError(f"a part map needs integer labels (H,W), got {label_HW.dtype} {label_HW.shape}")
        low, high = int(label_HW.min()), int(label_HW.max())
        if low < 0 or high >= len(self.scheme.names):
            raise SettingError(
                f"The class map holds labels {low} to {high}, but {self.scheme.id} has classes 0 to "
                f"{len(self.scheme.names) - 1}: choose the scheme that this map was made with."
            )

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.label_HW.shape[1], self.label_HW.shape[0]

    def mask(self, ids: Iterable[int]) -> np.ndarray:
        """mask_HW bool: the pixels whose class is one of `ids`."""
        table = np.zeros(len(self.scheme.names), dtype=bool)
        table[list(ids)] = True
        return table[self.label_HW]


class PartSegmenter(Protocol):
    """Tells face, hair and body apart in a picture. With `parallel = True` several threads may use it at once."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever the same picture could give another result."""
        ...

    @property
    def approximate(self) -> bool:
        """True when some tiers are guessed, and everything shown must say so."""
        ...

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        """rgb_HWC: uint8 RGB, upright. The map has the picture's size."""
        ...


def _load_schemes() -> Mapping[str, PartScheme]:
    text = (Path(__file__).parent / "part_label_schemes.json").read_text(encoding="utf-8")
    return MappingProxyType(
        {
            scheme_id: PartScheme(scheme_id, tuple(table["names"]), frozenset(table["face"]), frozenset(table["hair"]))
            for scheme_id, table in json.loads(text).items()
        }
    )


SCHEMES: Mapping[str, PartScheme] = _load_schemes()
