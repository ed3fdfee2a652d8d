"""Control images made of the photographs themselves: the person cut out, once, and again where something changed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.crop import Crop, CropKind, Rectangle
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import DatasetError, SettingError
from maskloss.core.images import load_image, save_image
from maskloss.core.masks.cut_out import CutOutRules, cut_out, cut_out_person
from maskloss.core.report.controls_sheet import controls_sheet
from maskloss.core.warning import collect_warnings

EXACT = CutOutRules(grow_percent=0)


def saved(tmp_path: Path, name: str, left: int = 10) -> DatasetItem:
    """A noisy picture of 40x40 with a person of full weight in a square and of hair's weight beside it."""
    rgb_HWC = np.random.default_rng(len(name)).integers(0, 100, (40, 40, 3), dtype=np.uint8)
    mask_HW = np.zeros((40, 40), np.uint8)
    mask_HW[10:20, left : left + 10] = 255
    mask_HW[20:25, left : left + 10] = 80
    save_image(tmp_path / f"{name}.png", rgb_HWC)
    save_image(tmp_path / f"masks/{name}.png", mask_HW)
    return DatasetItem(
        name, tmp_path / f"{name}.png", LoadSettings((64, 64)), tmp_path / f"masks/{name}.png", repeats=2
    )


@pytest.fixture
def anna(tmp_path: Path) -> DatasetItem:
    return saved(tmp_path, "anna")


def test_the_person_of_whatever_weight_is_grey_and_the_scene_as_it_was(tmp_path: Path, anna: DatasetItem) -> None:
    dataset, report = cut_out_person(Dataset((anna,)), tmp_path / "out", EXACT)
    (item,) = dataset.items
    assert item == replace(anna, control_path=tmp_path / "out/anna.png", wants_control=True)
    rgb_HWC, control_HWC = load_image(anna.media_path)[0], load_image(item.controls[0])[0]
    hole_HW = np.zeros((40, 40), bool)
    hole_HW[10:25, 10:20] = True
    assert (control_HWC[hole_HW] == 128).all()
    assert np.array_equal(control_HWC[~hole_HW], rgb_HWC[~hole_HW])
    assert report["items"] == [{"name": "anna", "state": "written", "cut": round(150 / 1600, 4)}]
    grown_HWC, share = cut_out(anna, CutOutRules(grow_percent=5))
    assert (grown_HWC[8:27, 14] == 128).all(), "2 px on each side"
    assert share > 150 / 1600


def test_it_is_made_once_and_again_where_something_changed(tmp_path: Path, anna: DatasetItem) -> None:
    def states(rules: CutOutRules = EXACT, overwrite: bool = False) -> list[object]:
        report = cut_out_person(Dataset((anna,)), tmp_path / "out", rules, overwrite)[1]
        return [row["state"] for row in report["items"]]

    assert states() == ["written"]
    assert states() == ["unchanged"]
    assert states(CutOutRules()) == ["written"]
    saved(tmp_path, "anna", left=20)
    assert states() == ["written"]
    assert (load_image(tmp_path / "out/anna.png")[0][12, 25] == 128).all()
    save_image(tmp_path / "out/anna.png", np.zeros((40, 40, 3), np.uint8))
    with collect_warnings() as given:
        assert states() == ["kept"]
    assert any("edited by hand" in text for text in given.texts)
    assert states(overwrite=True) == ["written"]
    save_image(tmp_path / "other/anna.png", np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(DatasetError, match="was not written by CutOut"):
        cut_out_person(Dataset((anna,)), tmp_path / "other", EXACT)


def test_crops_share_the_photographs_and_further_control_images_come_after(tmp_path: Path, anna: DatasetItem) -> None:
    face = replace(anna, name="anna~face", crop=Crop(CropKind.FACE, Rectangle(0, 0, 30, 30)))
    portrait = saved(tmp_path, "portrait").media_path
    shown = replace(saved(tmp_path, "berta"), control_path=portrait, wants_control=True)
    kept = replace(saved(tmp_path, "cats"), regularisation=0.2, mask_path=None)
    dataset, report = cut_out_person(Dataset((anna, face, shown, kept)), tmp_path / "out", EXACT)
    out = tmp_path / "out"
    assert [item.controls for item in dataset.items] == [
        (out / "anna.png",), (out / "anna.png",), (out / "berta.png", portrait), (),
    ]  # fmt: skip
    assert not dataset.items[3].wants_control
    assert report["counts"] == {"items": 3, "written": 2, "unchanged": 0, "kept": 0, "without": 1}
    assert load_image(out / "anna.png")[0].shape == (40, 40, 3), "of the whole photograph"
    assert controls_sheet(dataset, 4, 12).ndim == 3


def test_what_cannot_be_cut_is_named(tmp_path: Path, anna: DatasetItem) -> None:
    bare = replace(anna, mask_path=None)
    with pytest.raises(DatasetError, match=r"1 photographs have no mask \(anna\)"):
        cut_out_person(Dataset((bare,)), tmp_path / "out")
    with pytest.raises(DatasetError, match=r"1 items are videos \(anna\)"):
        cut_out_person(Dataset((replace(anna, media_path=tmp_path / "anna.mp4"),)), tmp_path / "out")
    save_image(anna.mask_path, np.full((40, 40), 1, np.uint8))
    with pytest.raises(DatasetError, match="The mask of anna covers 100% of it"):
        cut_out_person(Dataset((anna,)), tmp_path / "out")
    save_image(anna.mask_path, np.zeros((40, 40), np.uint8))
    with collect_warnings() as given:
        cut_out_person(Dataset((anna,)), tmp_path / "out")
    assert any("nothing is cut out of their photographs: anna" in text for text in given.texts)
    with pytest.raises(SettingError, match="grow_percent is 30"):
        CutOutRules(grow_percent=30)
