"""The page of a run, opened from disk in a real Chromium: its photographs are looked through without a server, and
nothing can be changed. See browser/page.js.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut, LoadSettings
from maskloss.core.images import save_image
from maskloss.core.people.decision import FaceScore, Outcome, PersonDecision
from maskloss.core.report.report import write_report

from .conftest import Browse

FACE, BODY = (230, 60, 90), (60, 130, 246)


def _dataset(folder: Path) -> Dataset:
    """Two photographs whose left half is face and whose right half is body, and one that is left out."""
    items: list[DatasetItem] = []
    for name, shade in (("a", 40), ("b", 120), ("gone", 200)):
        save_image(folder / f"photos/{name}.png", np.full((600, 800, 3), shade, np.uint8))
        mask_HW = np.full((600, 800), 255, np.uint8)
        mask_HW[:, 400:] = 128
        save_image(folder / f"masks/{name}.png", mask_HW)
        faces = (FaceScore(0, (80, 60, 240, 260), 0.7, name != "gone"), FaceScore(1, (500, 60, 660, 260), 0.2, False))
        found = (Outcome.SKIPPED, None) if name == "gone" else (Outcome.MATCH, 0)
        person = PersonDecision(faces, *found, "as the faces say", needed=0.5)
        path = folder / f"photos/{name}.png"
        items.append(DatasetItem(name, path, LoadSettings(), folder / f"masks/{name}.png", "her", person=person))
    return Dataset(tuple(items[:2]), (LeftOut(items[2], "nobody was recognised"),))


def test_the_page_from_disk_lets_its_photographs_be_looked_through(browse: Browse, tmp_path: Path) -> None:
    index, _ = write_report(tmp_path / "report", _dataset(tmp_path), None, None, None)
    browse(
        "page.js", page=str(index), names=["a", "b", "gone"], leftOut=["gone"], open="a",
        places=[[0.4, 0.5], [0.6, 0.5]], colours=[FACE, BODY],
    )  # fmt: skip
