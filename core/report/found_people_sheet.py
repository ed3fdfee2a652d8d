"""The sheet of the people that were found without references: a row for each, to be given names. uint8 RGB."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..draw.sheet import contact_sheet
from ..masks.dataset_faces import DatasetFace
from ..masks.find_people import PersonRow
from ..people.faces import crop_picture

CELL_PX = 160
SURE, DOUBTFUL, MOST_ROWS = 7, 2, 24
_NOTHING = np.zeros((CELL_PX, CELL_PX, 3), np.uint8)
_PALE = 3  # doubtful faces are so much darker


def found_people_sheet(rows: Sequence[PersonRow]) -> np.ndarray:
    """At most MOST_ROWS people: their most central faces, then, darker, those that could be somebody else's."""
    shown = rows[:MOST_ROWS]
    sure = min(SURE, max((len(row.sure) for row in shown), default=0)) or 1
    most_doubtful = min(DOUBTFUL, max((len(row.doubtful) for row in shown), default=0))
    cells: list[tuple[np.ndarray, str]] = []
    for row in shown:
        own = [(_crop(face), face.item.name) for face in row.sure[:sure]]
        own += [(_NOTHING, "")] * (sure - len(own))
        doubtful = [(_crop(face) // _PALE, f"doubtful: {face.item.name}") for face in row.doubtful[:most_doubtful]]
        own += [*doubtful, *[(_NOTHING, "")] * (most_doubtful - len(doubtful))]
        label = f"{row.number}: {row.name}" if row.name else f"{row.number}"
        told = f"{row.photographs} photographs" if row.sure else "photographs are gone"
        own[0] = own[0][0], f"{label}\n{told}"
        cells += [(picture_HWC, caption if n == 0 else f"\n{caption}") for n, (picture_HWC, caption) in enumerate(own)]
    return contact_sheet(cells or [(_NOTHING, "nobody was found")], sure + most_doubtful, CELL_PX)


def _crop(face: DatasetFace) -> np.ndarray:
    return crop_picture(face.read(), face.box, CELL_PX)
