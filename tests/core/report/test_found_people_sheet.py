"""The sheet of found people: the faces of a row, doubtful ones darker."""

from pathlib import Path

import numpy as np
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.images import save_image
from maskloss.core.masks.dataset_faces import DatasetFace
from maskloss.core.masks.find_people import PersonRow
from maskloss.core.report.found_people_sheet import CELL_PX, found_people_sheet


def test_sure_faces_are_bright_and_doubtful_ones_dark(tmp_path: Path) -> None:
    path = tmp_path / "party.png"
    save_image(path, np.full((80, 80, 3), 200, np.uint8))
    item = DatasetItem("party", path, LoadSettings())
    faces = [DatasetFace(item, None, n, f"k{n}", (20.0, 20.0, 60.0, 60.0), 0.9, np.ones(3, np.float32)) for n in (0, 1)]
    sheet_HWC = found_people_sheet([PersonRow(1, (faces[0],), (faces[1],), "anna")])
    levels, counts = np.unique(sheet_HWC, return_counts=True)
    count = dict(zip(levels.tolist(), counts.tolist(), strict=True))
    assert count[200] >= 0.9 * CELL_PX * CELL_PX * 3
    assert count[200 // 3] >= 0.9 * CELL_PX * CELL_PX * 3
    assert sheet_HWC.shape[1] < 3 * CELL_PX, "no wider than its longest row"
    assert found_people_sheet([PersonRow(1, (), (), "gone")]).any(), "a row whose photographs are gone stays"
