"""Control images by name: one, or several by number."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.controls import Controls
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError, PathError
from maskloss.core.images import save_image

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with small pictures of these names."""

    def make(name: str, *files: str) -> Path:
        for file in files:
            save_image(tmp_path / name / file, np.full((64, 64, 3), len(file), np.uint8))
        return tmp_path / name

    return make


@pytest.mark.parametrize(
    "files",
    [("anna.png",), ("anna_0.png",), ("anna_1.png",), ("anna_0.png", "anna_1.png"), ("anna_0000.png", "anna_0001.png"),
     ("anna.png", "anna_1.png", "anna_2.png"), ("anna_1.png", "anna_2.png"), ("ANNA.png", "anna_1.png")],
)  # fmt: skip
def test_one_control_image_or_several_by_number(folder: Folder, files: tuple[str, ...]) -> None:
    found = Controls(folder("control", *files), ["anna", "berta"])
    assert [path.name for path in found.find("anna")] == list(files)
    assert found.find("berta") == ()


def test_ten_come_after_two(folder: Folder) -> None:
    files = [f"anna_{number}.png" for number in range(11)]
    assert [path.name for path in Controls(folder("control", *files), ["anna"]).find("anna")] == files


def test_a_file_with_another_photographs_name_is_that_ones(folder: Folder) -> None:
    found = Controls(folder("control", "IMG.png", "IMG_1.png", "IMG_1_0.png", "IMG_1_1.png"), ["IMG", "IMG_2"])
    assert [path.name for path in found.find("IMG")] == ["IMG.png", "IMG_1.png"]
    found = Controls(folder("other", "IMG.png", "IMG_1.png", "IMG_2_0.png", "IMG_2_1.png"), ["IMG", "IMG_1", "IMG_2"])
    assert [path.name for path in found.find("IMG")] == ["IMG.png"]
    assert [path.name for path in found.find("IMG_1")] == ["IMG_1.png"]
    assert [path.name for path in found.find("IMG_2")] == ["IMG_2_0.png", "IMG_2_1.png"]


def test_names_below_folders(folder: Folder) -> None:
    found = Controls(folder("control", "sub/anna_0.png", "sub/anna_1.png", "berta_0.png"), ["sub/anna", "sub/berta"])
    assert [path.name for path in found.find("sub/anna")] == ["anna_0.png", "anna_1.png"]
    assert [path.name for path in found.find("sub/berta")] == ["berta_0.png"], "at the top, as masks are found"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (("anna.png", "anna_0.png"), "Two control images could be number 0 of anna"),
        (("anna_1.png", "anna_01.png"), "Two control images could be number 1 of anna"),
        (("anna_0.png", "anna_2.png"), r"anna_1 is missing \(.*anna_2.png is there\)"),
        (("anna.png", "anna_2.png"), "anna_1 is missing"),
        (("anna_2.png",), "anna_0 is missing"),
    ],
)
def test_doubt_and_gaps_are_refused_by_name(folder: Folder, files: tuple[str, ...], said: str) -> None:
    with pytest.raises(DatasetError, match=said):
        Controls(folder("control", *files), ["anna"]).find("anna")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="control_directory"):
        Controls(tmp_path / "none", ["anna"])


def test_a_scan_finds_them_and_counts_the_files(folder: Folder) -> None:
    photographs = folder("set", "anna.png", "berta.png")
    controls = folder("control", "anna_0.png", "anna_1.png", "carla.png")
    dataset, report = scan_dataset(DatasetConfig(photographs, control_directory=controls))
    anna, berta = dataset.items
    assert [path.name for path in anna.controls] == ["anna_0.png", "anna_1.png"]
    assert (berta.controls, berta.wants_control, anna.wants_control) == ((), True, True)
    assert report.without_control == ("berta",)
    assert any("control images have" in text and "carla" in text for text in report.warnings())
    plain, _ = scan_dataset(DatasetConfig(photographs))
    assert not any(item.wants_control or item.controls for item in plain.items)
