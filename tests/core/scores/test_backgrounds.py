"""A background is known again by its colours and edges, whoever stands before it."""

from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.scores.backgrounds import background_similarity, describe_background, outside_people


def _scene(seed: int) -> np.ndarray:
    """A room of a few colours and stripes."""
    rng = np.random.default_rng(seed)
    rgb_HWC = np.empty((240, 240, 3), np.uint8)
    rgb_HWC[:] = rng.integers(40, 220, 3)
    rgb_HWC[150:] = rng.integers(40, 220, 3)
    across = bool(rng.integers(2))
    for place in range(0, 240, 24):
        (rgb_HWC[place : place + 6] if across else rgb_HWC[:, place : place + 6])[:] = rng.integers(40, 220, 3)
    return rgb_HWC


def test_a_background_is_known_again_behind_another_person() -> None:
    people = (np.uint8([200, 30, 30]), np.uint8([30, 30, 200]))
    boxes = ((60.0, 60.0, 100.0, 100.0), (130.0, 40.0, 160.0, 70.0))
    size = (240, 240)

    def described(seed: int, person: int) -> np.ndarray:
        rgb_HWC, outside_HW = _scene(seed), outside_people(size, [boxes[person]])
        rgb_HWC[~outside_HW] = people[person]
        description_K = describe_background(rgb_HWC, outside_HW)
        assert description_K is not None
        return description_K

    rooms = [(described(seed, 0), described(seed, 1)) for seed in range(5)]
    for index, (_, again) in enumerate(rooms):
        alike = [background_similarity(again, first) for first, _ in rooms]
        assert int(np.argmax(alike)) == index
        assert alike[index] > 0.8
        assert max(each for place, each in enumerate(alike) if place != index) < alike[index] - 0.2
    assert background_similarity(rooms[0][0], rooms[0][0]) == pytest.approx(1)


def test_the_person_is_a_column_below_the_head() -> None:
    outside_HW = outside_people((100, 80), [(40.0, 20.0, 60.0, 40.0)])
    assert outside_HW[:5].all()
    assert not outside_HW[5:, 20:80].any()
    assert outside_HW[:, :20].all()
    assert outside_HW[:, 80:].all()
    assert describe_background(np.zeros((80, 100, 3), np.uint8), np.zeros((80, 100), bool)) is None
