"""Lists of names in a message: the first few, and how many more there are."""

from __future__ import annotations

from collections.abc import Sequence

NAMED = 5
"""So many are named in a message; reports have them all."""


def first_names(names: Sequence[str], limit: int = NAMED) -> str:
    """The first `limit` names, and how many more: `a, b and 3 more`."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
