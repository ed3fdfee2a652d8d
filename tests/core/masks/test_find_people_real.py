"""The women of real group photographs sorted without references: who is in two is found, and nobody is mixed up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.images import save_image
from maskloss.core.masks.find_people import find_people, parse_names

pytestmark = pytest.mark.models


def test_the_woman_of_two_photographs_has_the_one_row(
    sample_photograph: Callable[[int], np.ndarray], t1_photograph: np.ndarray, tmp_path: Path
) -> None:
    pictures = {"sample1": sample_photograph(1), "sample3": sample_photograph(3), "t1": t1_photograph}
    items: list[DatasetItem] = []
    for name, rgb_HWC in pictures.items():
        save_image(tmp_path / f"set/{name}.png", rgb_HWC)
        items.append(DatasetItem(name, tmp_path / f"set/{name}.png", LoadSettings()))
    recognizer = BundledFaceRecognizer()

    def find(names: str, least: int):
        return find_people(Dataset(tuple(items)), recognizer, parse_names(names), tmp_path / "found", least)

    people, rows, report = find("berta", 2)
    assert [{(face.item.name, face.index) for face in row.sure} for row in rows] == [{("sample1", 2), ("sample3", 1)}]
    assert people[0].identity.embeddings_NK.shape == (2, 128)
    assert report["counts"]["faces"] == 12
    everyone = find("", 1)[1]
    assert len(everyone) == 11, "twelve faces, of which two are one woman's"
    assert all(len({face.item.name for face in row.sure}) == len(row.sure) for row in everyone)
