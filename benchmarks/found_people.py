"""How well faces are sorted by person without references, on real photographs.

    python -m benchmarks.photographs && python -m benchmarks.found_people

Of 16 photographs (face-api's six groups of women, insightface's group of six, portraits and groups of other packages)
it is known who is in several: one man in three, one woman in two, and nobody else, by looking at every face. Prints a
Markdown table: how many rows of the sheet are of one person alone (purity), and how many pairs of faces of one person
share a row (found pairs).
"""

from __future__ import annotations

import tempfile
from itertools import combinations
from pathlib import Path

import numpy as np
from maskloss.core.bundled.install import require
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.images import load_image, save_image
from maskloss.core.masks.find_people import PersonRow, find_people

from .photographs import read_rgb

SAMPLES = tuple(f"sample{number}" for number in range(1, 7))
OTHERS = (
    "t1.jpg", "obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg", "zidane.jpg", "grace_hopper.jpg", "astronaut.png",
    "2011_000003.jpg", "2011_000006.jpg",
)  # fmt: skip
# Faces (photograph, number from the left) of people who are in several photographs.
SAME = (
    frozenset({("sample1", 2), ("sample3", 1)}),
    frozenset({("obama", 0), ("obama2", 0), ("obama3", 0)}),
)
Place = tuple[str, int]


def dataset(directory: Path) -> Dataset:
    """All photographs, written as PNG files."""
    pictures: dict[str, np.ndarray] = {name: load_image(require(f"photographs/{name}.jpg"))[0] for name in SAMPLES} | {
        Path(name).stem: read_rgb(name) for name in OTHERS
    }
    items: list[DatasetItem] = []
    for name, rgb_HWC in pictures.items():
        save_image(directory / f"{name}.png", rgb_HWC)
        items.append(DatasetItem(name, directory / f"{name}.png", LoadSettings()))
    return Dataset(tuple(items))


def places(row: PersonRow) -> list[Place]:
    """Which faces a row surely has."""
    return [(face.item.name, face.index) for face in row.sure]


def person_of(place: Place) -> frozenset[Place]:
    """Everything that shows the person of a face."""
    return next((same for same in SAME if place in same), frozenset({place}))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = dataset(Path(folder, "set"))
        _, rows, report = find_people(found, BundledFaceRecognizer(), [], Path(folder, "found"), min_photographs=1)
    pure = sum(len({person_of(place) for place in places(row)}) == 1 for row in rows if row.sure)
    known = {pair for same in SAME for pair in combinations(sorted(same), 2)}
    together = {pair for row in rows for pair in combinations(sorted(places(row)), 2)}
    print("| photographs | faces | rows | rows of one person alone | known pairs found | other pairs | doubtful |")
    print("|---|---|---|---|---|---|---|")
    counts = report["counts"]
    print(
        f"| {len(found.items)} | {counts['faces']} | {len(rows)} | {pure} of {len(rows)} | "
        f"{len(together & known)} of {len(known)} | {len(together - known)} | {counts['doubtful']} |"
    )


if __name__ == "__main__":
    main()
