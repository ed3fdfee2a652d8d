"""A sheet for each person, one of everyone together, one of what shows nobody."""

from pathlib import Path

import numpy as np
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut, LoadSettings
from maskloss.core.images import save_image
from maskloss.core.report.people_sheets import people_sheets


def test_each_has_a_sheet_where_there_is_something_to_show(tmp_path: Path) -> None:
    path = tmp_path / "party.png"
    save_image(path, np.full((40, 60, 3), 90, np.uint8))

    def item(subject: str, name: str = "party") -> DatasetItem:
        return DatasetItem(f"{name}@{subject}" if subject else name, path, LoadSettings(), subject=subject)

    dataset = Dataset((item("anna"), item("anna", "beach")), (LeftOut(item(""), "nobody"),))
    sheets = people_sheets(dataset, ["anna", "berta"], 4, 12)
    assert len(sheets) == 2
    assert sheets[0].shape[1] > sheets[1].shape[1], "anna's two photographs stand side by side"
    together = Dataset((item("anna"), item("berta"), item("together")))
    assert len(people_sheets(together, ["anna", "berta"], 4, 12)) == 3
    assert len(people_sheets(together, ["anna", "berta"], 4, 1)) == 3
