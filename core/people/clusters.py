"""Faces of many pictures sorted by whose they are, without references.

Average linkage, from the closest two on, as long as two groups are as alike as one person is; two faces of one picture
are never one person. It fails closed: a face that is nearly as much like another group is doubtful.
`_FF`: face by face.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..progress import check_interrupted

MARGIN = 0.05


@dataclass(frozen=True)
class FaceGroup:
    """One person's faces, by their numbers: `sure` ones from the most central one on, and `doubtful` ones."""

    sure: tuple[int, ...]
    doubtful: tuple[int, ...]


def similarity_matrix(
    embeddings: Sequence[np.ndarray], similarity: Callable[[np.ndarray, np.ndarray], float]
) -> np.ndarray:
    """How alike every two faces are, float64 (F, F), symmetric; 1 on the diagonal."""
    count = len(embeddings)
    alike_FF = np.ones((count, count))
    for first in range(count):
        check_interrupted()
        for second in range(first + 1, count):
            alike_FF[first, second] = alike_FF[second, first] = similarity(embeddings[first], embeddings[second])
    return alike_FF


def group_faces(
    alike_FF: np.ndarray, pictures: Sequence[int], needed: float, margin: float = MARGIN
) -> list[FaceGroup]:
    """The faces of each person, larger groups first; single faces are groups of one. `pictures`: in which picture each
    face is. `needed`: the similarity from which on two faces are one person's.

    A face is doubtful where it is less than `needed` like the rest of its group in the mean, or less than `margin` more
    than like another group.
    """
    groups = _linked(alike_FF, pictures, needed)
    groups.sort(key=lambda group: (-len(group), group[0]))
    return [_told_apart(number, groups, alike_FF, needed, margin) for number in range(len(groups))]


def _linked(alike_FF: np.ndarray, pictures: Sequence[int], needed: float) -> list[list[int]]:
    count = len(pictures)
    place = np.asarray(pictures)
    # Mean similarity of groups, kept up to date by Lance and Williams' rule (1967); -inf where they cannot be one.
    mean_FF = np.where(place[:, None] == place[None, :], -np.inf, alike_FF)
    members = [[face] for face in range(count)]
    while count:
        check_interrupted()
        first, second = sorted(int(each) for each in np.unravel_index(np.argmax(mean_FF), mean_FF.shape))
        if first == second or not mean_FF[first, second] >= needed:
            break
        ours, theirs = len(members[first]), len(members[second])
        merged = (mean_FF[first] * ours + mean_FF[second] * theirs) / (ours + theirs)
        mean_FF[first], mean_FF[:, first] = merged, merged
        mean_FF[first, first] = -np.inf
        mean_FF[second], mean_FF[:, second] = -np.inf, -np.inf
        members[first] += members[second]
        members[second] = []
    return [sorted(group) for group in members if group]


def _told_apart(
    number: int, groups: Sequence[Sequence[int]], alike_FF: np.ndarray, needed: float, margin: float
) -> FaceGroup:
    own = groups[number]
    others = [list(group) for other, group in enumerate(groups) if other != number]
    sure: list[tuple[float, int]] = []
    doubtful: list[int] = []
    for face in own:
        rest = [each for each in own if each != face]
        mine = float(alike_FF[face, rest].mean()) if rest else 1.0
        nearest = max((float(alike_FF[face, group].mean()) for group in others), default=-np.inf)
        if mine >= needed and mine - nearest >= margin:
            sure.append((-mine, face))
        else:
            doubtful.append(face)
    return FaceGroup(tuple(face for _, face in sorted(sure)), tuple(doubtful))
