"""The report opens every count of the scan, and tells how mask files were read."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.config_file import read_config, scan_config
from maskloss.core.dataset.items import Dataset, LoadSettings
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.masks.exchange import set_masks
from maskloss.core.paths import Folders
from maskloss.core.report.report import write_report
from PIL import Image

SMALL = LoadSettings(resolution=(64, 64))


class Opened(HTMLParser):
    """What stands in each <details> of a page, by its summary, and the cells of its tables."""

    def __init__(self, index: Path) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {}
        self.rows: list[str] = []
        self.words: list[str] = []
        self._in = ""
        self.feed(index.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._in = tag

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self._in == "summary":
            self.found[data] = []
        elif self._in == "li" and self.found:
            self.found[list(self.found)[-1]].append(data)
        elif self._in in ("th", "td"):
            self.rows.append(data)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in ("a", "b", "c", "<d>"):
        path = tmp_path / f"set/{name}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (64, 64), (90, 120, 40)).save(path)
    (tmp_path / "set/a_old.txt").write_text("x")
    (tmp_path / "masks").mkdir()
    mask_HW = np.zeros((64, 64), np.uint8)
    mask_HW[:, :32] = 200
    Image.fromarray(mask_HW).save(tmp_path / "masks/a.png")
    Image.fromarray(mask_HW // 2).save(tmp_path / "masks/b.png")
    red_HWC = np.zeros((64, 64, 3), np.uint8)
    red_HWC[:16] = (255, 0, 0)
    Image.fromarray(red_HWC).save(tmp_path / "masks/c.png")
    return tmp_path


def opened(dataset: Dataset, folder: Path) -> Opened:
    return Opened(write_report(folder / "report", dataset, None, None, None)[0])


def test_counts_open_and_masks_are_told(folders: Path) -> None:
    dataset, _ = scan_dataset(DatasetConfig(folders / "set", folders / "masks", settings=SMALL))
    page = opened(dataset, folders)
    assert page.found == {
        "4 photographs": ["<d>.png", "a.png", "b.png", "c.png"],
        "3 masks": ["a.png", "b.png", "c.png"],
        "1 captions that belong to nothing": ["a_old.txt (near a)"],
        "1 items without a mask": ["<d>"],
        "4 items without a caption": ["<d>", "a", "b", "c"],
    }
    told = dict(zip(page.rows[::2], page.rows[1::2], strict=True))
    assert told["brightness: grey, 8 bits"] == (
        "2 of 3 files (67%), values 0 to 200, 50% of the picture has weight on average"
    )
    assert told["colour: RGB, 8 bits"] == (
        "1 of 3 files (33%), values 0 to 255, 25% of the picture has weight on average"
    )
    assert " colour (RGB, 8 bits; values 0 to 255, 255 is full weight; 25% of the picture has weight)" in page.words


def test_they_outlast_the_steps_between_and_a_mask_that_is_gone(folders: Path) -> None:
    dataset, _ = scan_dataset(DatasetConfig(folders / "set", folders / "masks", settings=SMALL))
    dataset, _ = set_masks(dataset, ["<d>"], [np.ones((64, 64), np.float32)], folders / "made")
    (folders / "masks/c.png").unlink()
    page = opened(dataset, folders)
    assert page.found["4 photographs"] == ["<d>.png", "a.png", "b.png", "c.png"]
    assert "3 of 3 files (100%), values 0 to 255, 67% of the picture has weight on average" in page.rows


def test_a_dataset_file_gives_the_names_of_all_its_folders(folders: Path) -> None:
    (folders / "more").mkdir()
    (folders / "set/a.png").rename(folders / "more/e.png")
    (folders / "set.toml").write_text(
        '[general]\nresolution = 64\n[[datasets]]\nimage_directory = "set"\n[[datasets]]\nimage_directory = "more"\n'
    )
    dataset, report = scan_config(read_config(folders / "set.toml", Folders(folders, folders / "out")))
    page = opened(dataset, folders)
    assert page.found["4 photographs"] == ["<d>.png", "b.png", "c.png", "e.png"]
    assert page.found["1 captions that belong to nothing"] == ["a_old.txt"]
    each = report["datasets"]
    assert isinstance(each, list)
    assert [one["files"]["names"]["photographs"] for one in each] == [["<d>.png", "b.png", "c.png"], ["e.png"]]
    assert each[0]["names"]["mask_none"] == ["<d>", "b", "c"]
