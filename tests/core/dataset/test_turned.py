"""Masks of photographs that EXIF turns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem
from maskloss.core.dataset.load import load_item
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import ImageError
from PIL import Image

Draw = Callable[..., Path]


def scan(folder: Path):
    return scan_dataset(DatasetConfig(folder / "set", folder / "masks"))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_mask_of_the_pixels_as_they_are_stored_is_told_as_such(
    tmp_path: Path, photograph: Draw, mask: Draw, orientation: int
) -> None:
    photograph("set/a.jpg", (60, 40), orientation=orientation)
    mask("masks/a.png", (30, 20))
    said = "a is 30x20 and its image 40x60 upright: the mask fits the picture as it is stored, before its EXIF"
    with pytest.raises(ImageError, match=said):
        scan(tmp_path)
    item = DatasetItem("a", tmp_path / "set/a.jpg", DatasetConfig(tmp_path).settings, tmp_path / "masks/a.png")
    with pytest.raises(ImageError, match="-Orientation MASK"):
        load_item(item)


def test_a_mask_of_another_picture_is_still_refused_as_that(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    photograph("set/a.jpg", (60, 40))
    mask("masks/a.png", (40, 60))
    with pytest.raises(ImageError, match=r"aspect ratios differ by 125\.0%"):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("orientation", "size", "undecided"),
    [(1, (40, 40), False), (6, (40, 40), True), (3, (60, 40), True), (2, (60, 40), True), (6, (400, 401), True)],
)
def test_masks_that_fit_either_way_are_hinted_at_once(
    tmp_path: Path, photograph: Draw, mask: Draw, orientation: int, size: tuple[int, int], undecided: bool
) -> None:
    for name in "abcdefg":
        photograph(f"set/{name}.jpg", size, orientation=orientation)
        mask(f"masks/{name}.png", size)
    hints = [text for text in scan(tmp_path)[1].warnings() if "turned by EXIF" in text]
    assert [text.split(" images")[0] for text in hints] == (["7"] if undecided else [])
    assert all(text.endswith(": a, b, c, d, e and 2 more") for text in hints)


def test_a_mask_with_an_orientation_of_its_own_is_no_question(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    photograph("set/a.jpg", (40, 40), orientation=6)
    mask("masks/a.png", (40, 40), orientation=6)
    dataset, report = scan(tmp_path)
    assert report.undecided_turns == ()
    weights_HW = load_item(dataset.items[0]).weights_HW
    stored_HW = np.asarray(Image.open(tmp_path / "masks/a.png"))
    assert weights_HW is not None
    assert np.array_equal(weights_HW * 255, np.rot90(stored_HW, -1)), "it is turned with its photograph"


def test_masks_that_a_step_of_ours_wrote_are_upright(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    photograph("set/a.jpg", (40, 40), orientation=6)
    mask("masks/a.png", (40, 40))
    (tmp_path / "masks/.maskloss_masks.json").write_text("{}")
    assert scan(tmp_path)[1].undecided_turns == ()
