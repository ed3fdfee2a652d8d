"""How often each person's items come, so that everyone counts alike however many photographs show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..errors import SettingError

_MOST = 1000  # an epoch does not become so many times longer for the sake of a share that is met more closely
_NEAR = 0.02


def balance_repeats(
    repeats: Mapping[str, Sequence[int]], together: Sequence[int], share: float
) -> tuple[dict[str, list[int]], list[int]]:
    """New repeats of each person's items, by name, whose sums are equal, and of the items with everyone, which make up
    `share` of all, [0, 1); within one person they keep their proportions, to the nearest whole number. None is below
    what it was but for the items with everyone. SettingError for a share outside the range."""
    if not (math.isfinite(share) and 0 <= share < 1):
        raise SettingError(f"together is {share}; it must be a fraction of an epoch in [0, 1), 0 for none.")
    most = max((sum(own) for own in repeats.values()), default=0)
    wanted = len(repeats) * most * share / (1 - share) if together else 0.0
    times = _epochs(wanted, len(together)) if wanted > 0 else 1
    balanced = {name: share_out(own, most * times) for name, own in repeats.items()}
    return balanced, share_out(together, max(len(together), round(wanted * times)))


def _epochs(wanted: float, items: int) -> int:
    """How many times as long an epoch becomes, so that each item with everyone comes once at least and their share,
    `wanted` of them beside the others in one epoch, is met by whole numbers."""
    least = max(1, math.ceil(items / wanted - 1e-9))
    near = (
        times for times in range(least, least + _MOST) if abs(round(wanted * times) / (wanted * times) - 1) <= _NEAR
    )
    return next(near, least)


def share_out(parts: Sequence[int], total: int) -> list[int]:
    """Whole numbers of at least 1 in the proportions of `parts` (each at least 1) that add up to `total`, which is at
    least as many as there are parts; what does not divide goes to the largest remainders, the first of equal ones."""
    if not parts:
        return []
    exact = [part * total / sum(parts) for part in parts]
    whole = [max(1, math.floor(each + 1e-9)) for each in exact]
    order = sorted(range(len(parts)), key=lambda n: (whole[n] - exact[n], n))
    missing = total - sum(whole)
    for n in (order * (missing // len(order) + 1))[:missing] if missing > 0 else ():
        whole[n] += 1
    # Parts that were raised to 1 are taken from the largest.
    for _ in range(-missing):
        whole[max(range(len(whole)), key=lambda n: (whole[n], -n))] -= 1
    return whole
