"""Which face is whose, one to one over a whole picture, and how sure that is.

`_PF`: a row per person, a column per face; similarities, -inf where a face cannot be that person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_NEVER = 1e6  # above any sum of similarities


@dataclass(frozen=True)
class Rival:
    """What else could be true of a person and their face: the person has another `face`, or the face is another
    `person`'s. `lead`: by how much the sum of similarities would be smaller then, everyone else placed at best."""

    lead: float
    face: int | None = None
    person: int | None = None


def assign_faces(likeness_PF: np.ndarray, needed: float) -> list[int | None]:
    """For each person a face of their own, or None: the assignment with the largest sum of similarities in which every
    pair has `needed` at least; a person without a face counts like one who has just less than that.

    Exact (Hungarian algorithm, O(P²·(F + P))).
    """
    people, faces = likeness_PF.shape
    nobody = np.nextafter(needed, -np.inf)
    cost = np.full((people, faces + people), _NEVER)
    cost[:, :faces] = np.where(likeness_PF >= needed, -np.nan_to_num(likeness_PF, nan=-_NEVER, neginf=-_NEVER), _NEVER)
    cost[np.arange(people), faces + np.arange(people)] = -nobody
    return [column if column < faces else None for column in _cheapest(cost)]


def nearest_rival(likeness_PF: np.ndarray, needed: float, owned: Sequence[int | None], person: int) -> Rival | None:
    """The best of all assignments in which `person` has not the face that `owned` gives them, but another one (however
    little alike), or in which somebody else has it; None where there is no other face and nobody else."""
    mine = owned[person]
    if mine is None:
        return None
    best = _total(likeness_PF, needed, owned)
    # Nobody else can be worth more than this, whatever is left to them.
    most_P = np.maximum(likeness_PF.max(axis=1, initial=-np.inf), needed)
    found: Rival | None = None
    others = [(person, face) for face in range(likeness_PF.shape[1]) if face != mine]
    others += [(other, mine) for other in range(likeness_PF.shape[0]) if other != person]
    for who, face in others:
        value = float(likeness_PF[who, face])
        if not np.isfinite(value):
            continue
        rest = [other for other in range(likeness_PF.shape[0]) if other != who]
        if found is not None and best - (value + float(most_P[rest].sum())) >= found.lead:
            continue
        rest_PF = np.delete(likeness_PF[rest], face, axis=1)
        lead = best - (value + _total(rest_PF, needed, assign_faces(rest_PF, needed)))
        if found is None or lead < found.lead:
            found = Rival(lead, face, None) if who == person else Rival(lead, None, who)
    return found


def _total(likeness_PF: np.ndarray, needed: float, owned: Sequence[int | None]) -> float:
    return sum(needed if face is None else float(likeness_PF[person, face]) for person, face in enumerate(owned))


def _cheapest(cost: np.ndarray) -> list[int]:
    """The column of each row, each column once, at the least cost in all; there are at least as many columns."""
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, np.int64)  # 1-based rows; column 0 holds the row that is being placed
    came_from = np.zeros(columns + 1, np.int64)
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        shortest = np.full(columns + 1, np.inf)
        seen = np.zeros(columns + 1, np.bool_)
        while True:
            seen[column] = True
            here = owner[column]
            reduced = cost[here - 1] - row_price[here] - column_price[1:]
            nearer = np.flatnonzero(~seen[1:] & (reduced < shortest[1:])) + 1
            shortest[nearer], came_from[nearer] = reduced[nearer - 1], column
            column = int(np.argmin(np.where(seen, np.inf, shortest)))
            step = shortest[column]
            row_price[owner[seen]] += step
            column_price[seen] -= step
            shortest[~seen] -= step
            if owner[column] == 0:
                break
        while column:
            before = int(came_from[column])
            owner[column], column = owner[before], before
    place = {int(row): column for column, row in enumerate(owner[1:]) if row}
    return [place[row] for row in range(1, rows + 1)]
