"""From parts and masks to weights: face over hair over body over background, each tier exactly value / 255.

`_HW` is the pixel grid of the picture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from ..errors import ImageError, SettingError
from .part_map import TIER_NAMES, PartMap, PartScheme


@dataclass(frozen=True)
class TierWeights:
    """What each tier counts in training, 0 to 255. `classes` gives single classes of the scheme their own value."""

    face: int = 255
    hair: int = 80
    body: int = 128
    background: int = 0
    classes: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        tiers = [(f"{name}_weight", getattr(self, name)) for name in (*TIER_NAMES, "background")]
        for name, value in (*tiers, *self.classes):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 255:
                raise SettingError(f"{name} must be a whole number from 0 to 255, got {value!r}.")
        names = [name for name, _ in self.classes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise SettingError(f"class_weights names {', '.join(twice)} twice: give each class one weight.")

    @property
    def values(self) -> tuple[int, ...]:
        """Every value that a mask of these tiers can hold, with 0 and 255, ascending."""
        return tuple(
            sorted({0, 255, self.face, self.hair, self.body, self.background, *(value for _, value in self.classes)})
        )

    def value_of(self, tier: str) -> int:
        """The value of `face`, `hair` or `body`, 0 to 255."""
        return {"face": self.face, "hair": self.hair, "body": self.body}[tier]


def parse_class_weights(text: str) -> tuple[tuple[str, int], ...]:
    """Read "Lower_Clothing=60, Left_Shoe=0" (commas, semicolons or new lines between).

    Raises SettingError on an entry without `=` or a value that is not a whole number from 0 to 255.
    """
    pairs: list[tuple[str, int]] = []
    for entry in re.split(r"[,;\n]", text):
        if not entry.strip():
            continue
        name, equals, value = (piece.strip() for piece in entry.partition("="))
        if not name or not equals or not re.fullmatch(r"[0-9]{1,3}", value) or int(value) > 255:
            raise SettingError(
                f"class_weights holds {entry.strip()!r}: write name=weight with a whole number from 0 to 255, "
                "such as Left_Shoe=0."
            )
        pairs.append((name, int(value)))
    return tuple(pairs)


def weigh_parts(
    tiers: TierWeights,
    parts: PartMap | None,
    face_HW: np.ndarray | None = None,
    hair_HW: np.ndarray | None = None,
    body_HW: np.ndarray | None = None,
) -> np.ndarray:
    """Weights of a picture: weights_HW float32, every value one of the tiers' / 255.

    A mask (bool, uint8 or float in [0, 1], same size) replaces that tier of `parts` altogether and counts where it is
    at least one half. Raises SettingError when there is no source or a class weight would have no effect, ImageError
    when sizes differ.
    """
    masks = {"face": face_HW, "hair": hair_HW, "body": body_HW}
    given = {tier: mask_HW for tier, mask_HW in masks.items() if mask_HW is not None}
    if parts is None and not given:
        raise SettingError("Weights need parts or at least one of the face, hair and body masks; none is connected.")
    shape = _common_shape(parts, given)
    values_HW = np.full(shape, tiers.background, dtype=np.float32)
    if parts is not None:
        table = _class_values(tiers, parts.scheme, frozenset(given))
        values_HW = table[parts.label_HW]
    elif tiers.classes:
        raise SettingError("class_weights needs parts: masks alone have no classes.")
    for tier in ("body", "hair", "face"):
        if tier not in given:
            continue
        covered_HW = _threshold(given[tier])
        if parts is not None:
            # What stands above this tier and still comes from the parts keeps its place.
            above = [
                i for t in TIER_NAMES[: TIER_NAMES.index(tier)] if t not in given for i in parts.scheme.tier_ids(t)
            ]
            covered_HW &= ~parts.mask(above)
        values_HW[covered_HW] = tiers.value_of(tier)
    return values_HW / np.float32(255.0)


def _class_values(tiers: TierWeights, scheme: PartScheme, replaced: frozenset[str]) -> np.ndarray:
    """Value of every class of the scheme; classes of a replaced tier count as background."""
    table = np.full(len(scheme.names), tiers.background, dtype=np.float32)
    lost: set[int] = set()
    for tier in TIER_NAMES:
        ids = scheme.tier_ids(tier)
        if tier in replaced:
            lost.update(ids)
        else:
            table[list(ids)] = tiers.value_of(tier)
    for name, value in tiers.classes:
        index = scheme.class_id(name)
        if index in lost:
            raise SettingError(
                f"class_weights gives {scheme.names[index]} a weight, but a mask replaces the tier it belongs to: "
                "remove that entry or disconnect the mask."
            )
        table[index] = value
    return table


def _common_shape(parts: PartMap | None, masks: dict[str, np.ndarray]) -> tuple[int, int]:
    shapes = {name: mask_HW.shape for name, mask_HW in masks.items()}
    if parts is not None:
        shapes["parts"] = parts.label_HW.shape
    (first, shape), *others = shapes.items()
    if len(shape) != 2:
        raise ImageError(f"The {first} mask must have the shape (height, width), got {shape}.")
    for name, other in others:
        if other != shape:
            raise ImageError(
                f"{first} and {name} must have the same size, but they are {_size(shape)} and {_size(other)} pixels: "
                "make both from the same picture."
            )
    return shape[0], shape[1]


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in reversed(shape))


def _threshold(mask_HW: np.ndarray) -> np.ndarray:
    """Where a mask counts: from one half on."""
    if mask_HW.dtype == np.bool_:
        return mask_HW.copy()
    return mask_HW >= (128 if mask_HW.dtype == np.uint8 else 0.5)
