"""Lists of names in a message."""

from __future__ import annotations

import pytest
from maskloss.core.first_names import first_names


@pytest.mark.parametrize(
    ("count", "limit", "text"),
    [
        (0, 5, ""),
        (1, 5, "n0"),
        (5, 5, "n0, n1, n2, n3, n4"),
        (6, 5, "n0, n1, n2, n3, n4 and 1 more"),
        (4, 1, "n0 and 3 more"),
    ],
)
def test_the_first_are_named_and_the_others_counted(count: int, limit: int, text: str) -> None:
    assert first_names([f"n{number}" for number in range(count)], limit) == text
