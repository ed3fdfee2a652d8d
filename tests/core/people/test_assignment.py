"""Faces go to people one to one, at the largest sum, and how sure that is is told exactly."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from maskloss.core.people.assignment import assign_faces, nearest_rival

NEEDED = 0.5


def every_assignment(likeness_PF: np.ndarray) -> list[tuple[int | None, ...]]:
    """All ways in which each person has a face of their own or none."""
    people, faces = likeness_PF.shape
    places = [*range(faces), *[None] * people]
    return list({order for order in permutations(places, people)})


def value(likeness_PF: np.ndarray, owned: tuple[int | None, ...]) -> float:
    return sum(NEEDED if face is None else likeness_PF[person, face] for person, face in enumerate(owned))


def allowed(likeness_PF: np.ndarray, owned: tuple[int | None, ...], forced: int | None = None) -> bool:
    return all(
        face is None or person == forced or likeness_PF[person, face] >= NEEDED for person, face in enumerate(owned)
    )


@pytest.mark.parametrize("seed", range(40))
def test_the_assignment_and_its_nearest_rival_are_those_of_trying_all(seed: int) -> None:
    random = np.random.default_rng(seed)
    people, faces = random.integers(1, 4), random.integers(0, 5)
    likeness_PF = random.uniform(0.3, 0.9, (people, faces))
    owned = assign_faces(likeness_PF, NEEDED)
    every = every_assignment(likeness_PF)
    best = max(value(likeness_PF, each) for each in every if allowed(likeness_PF, each))
    assert allowed(likeness_PF, tuple(owned))
    assert value(likeness_PF, tuple(owned)) == pytest.approx(best)
    for person, mine in enumerate(owned):
        rival = nearest_rival(likeness_PF, NEEDED, owned, person)
        if mine is None:
            assert rival is None
            continue
        elsewhere = [
            value(likeness_PF, each)
            for each in every
            if each[person] not in (mine, None) and allowed(likeness_PF, each, person)
        ]
        taken = [
            value(likeness_PF, each)
            for each in every
            for other in range(people)
            if other != person and each[other] == mine and allowed(likeness_PF, each, other)
        ]
        if rival is None:
            assert not elsewhere + taken
        else:
            assert rival.lead == pytest.approx(best - max(elsewhere + taken))
            assert (rival.face is None) != (rival.person is None)


def test_a_face_that_is_just_alike_enough_is_taken() -> None:
    assert assign_faces(np.array([[NEEDED]]), NEEDED) == [0]
    assert assign_faces(np.array([[np.nextafter(NEEDED, 0)]]), NEEDED) == [None]


def test_twenty_people_among_fifty_faces_are_assigned_at_the_largest_sum() -> None:
    scipy = pytest.importorskip("scipy.optimize")
    likeness_PF = np.random.default_rng(1).uniform(NEEDED, 1, (20, 50))
    owned = assign_faces(likeness_PF, NEEDED)
    rows, columns = scipy.linear_sum_assignment(likeness_PF, maximize=True)
    assert sum(likeness_PF[person, face] for person, face in enumerate(owned) if face is not None) == pytest.approx(
        likeness_PF[rows, columns].sum()
    )
    assert len(set(owned)) == 20
