"""Faces without references come together by person, two of one picture never do, and close calls are doubtful."""

import numpy as np
from maskloss.core.people.clusters import group_faces, similarity_matrix


def alike(*places: float) -> np.ndarray:
    """Faces on a line; 1 − distance."""
    return similarity_matrix([np.array([place]) for place in places], lambda a, b: 1.0 - abs(float(a[0] - b[0])))


def test_faces_come_together_by_person() -> None:
    groups = group_faces(alike(0.0, 5.0, 0.1, 5.1, 0.2, 9.0), [0, 0, 1, 1, 2, 2], 0.5)
    assert [sorted(group.sure) for group in groups] == [[0, 2, 4], [1, 3], [5]]
    assert groups[0].sure[0] == 2, "the most central one first"
    assert not any(group.doubtful for group in groups)


def test_two_faces_of_one_picture_are_never_one_person() -> None:
    groups = group_faces(alike(0.0, 0.0, 0.01), [0, 0, 1], 0.5)
    together = [{*group.sure, *group.doubtful} for group in groups]
    assert not any({0, 1} <= each for each in together)


def test_faces_between_two_groups_are_doubtful() -> None:
    # Two sisters stand side by side in pictures 0 and 1; the face of picture 2 could be either's.
    groups = group_faces(alike(0.0, 0.4, 0.0, 0.4, 0.19), [0, 0, 1, 1, 2], 0.5)
    assert all(4 not in group.sure for group in groups)
    assert any(4 in group.doubtful for group in groups)
    assert {face for group in groups for face in group.sure} == {0, 1, 2, 3}


def test_what_is_less_alike_than_needed_stays_apart() -> None:
    assert [group.sure for group in group_faces(alike(0.0, 0.6), [0, 1], 0.5)] == [(0,), (1,)]
    assert group_faces(np.ones((0, 0)), [], 0.5) == []
