"""The weights of one person among several, of their own tiers: `_HW` pixel grid, float32 in [0, 1]; instances bool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..alpha import weights_to_uint8
from ..dataset.person_paint import PersonPaint
from ..errors import DatasetError
from ..people.instances import apply_instance
from ..people.people import OwnWeights
from .part_values import Tiers, usual_tiers


def with_own_weights(
    weights_HW: np.ndarray, own: OwnWeights, tiers: Tiers | None, person: str, item: str
) -> np.ndarray:
    """The weights of everyone with this person's values in the place of the tiers'. `tiers`: which values these have;
    None where nobody noted it, then the usual ones if the mask has no others.

    DatasetError where a tier with a value of its own cannot be told in the mask.
    """
    given = own.given
    if not given:
        return weights_HW
    values_HW = weights_to_uint8(weights_HW)
    known = tiers or usual_tiers(values_HW)
    told = {} if known is None else {"face": known.face, "hair": known.hair, "background": known.background}
    hidden = [tier for tier in given if known is None or (tier != "body" and told.get(tier) is None)]
    if hidden:
        raise DatasetError(
            f"{person} has a {hidden[0]}_weight of {given[hidden[0]]}, but the mask of {item} does not tell which "
            f"pixels are {hidden[0]}; build it by Build Masks (Dataset) with another weight for each tier, or set -1."
        )
    table = np.arange(256, dtype=np.float32)
    if "body" in given:
        others = [value for value in told.values() if value is not None]
        table[[value for value in range(256) if value not in others]] = given["body"]
    for tier, value in told.items():
        if value is not None and tier in given:
            table[value] = given[tier]
    return (table / np.float32(255))[values_HW]


def weights_of_one(
    weights: Sequence[np.ndarray],
    instances: Sequence[np.ndarray],
    person: int,
    margins_px: tuple[int, int],
    others_weight: int = 0,
) -> np.ndarray:
    """Where one person is (`instances[person]`, grown by the margins), their own weights; where one of the others is,
    so much of theirs as `others_weight` says, 255 all; else 0. One array of each for every person."""
    kept_HW = apply_instance(weights[person], instances[person], *margins_px)
    for other, instance_HW in enumerate(instances):
        if other != person:
            kept_HW[instance_HW] = weights[other][instance_HW] * np.float32(others_weight / 255)
    return kept_HW


def weights_together(
    weights: Sequence[np.ndarray],
    instances: Sequence[np.ndarray],
    margins_px: tuple[int, int],
    painted: Mapping[int, PersonPaint],
    frame: int = 0,
) -> np.ndarray:
    """Where anyone of the people is, their own weights, with what was `painted` over those of some; else 0. `frame` is
    that of a video."""
    each = [weights_of_one(weights, instances, person, margins_px) for person in range(len(instances))]
    for person, paint in painted.items():
        each[person] = paint.apply(each[person], frame)
    return np.max(each, axis=0)
