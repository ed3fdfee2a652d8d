"""Datasets are known by ids for a while, and show each photograph once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.store import CorrectionStore
from maskloss.core.dataset.crop import Crop, CropKind, Rectangle
from maskloss.core.dataset.items import Dataset
from maskloss.core.errors import PathError
from maskloss.core.images import save_image
from maskloss.core.viewer.viewed import ViewedDatasets, photograph_hash, view_dataset

from .small_dataset import small_dataset


def view(folder: Path, dataset: Dataset, title: str = "t"):
    return view_dataset(dataset, title, [], CorrectionStore(folder / "c"), folder / "thumbnails")


def test_crops_are_shown_as_their_photograph_once(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    first = dataset.items[0]
    crop = replace(first, name="a~face", crop=Crop(CropKind.FACE, Rectangle(0, 0, 9, 9)))
    viewed = view(tmp_path, Dataset((crop, *dataset.items[1:])))
    assert [each.item.name for each in viewed.items] == ["a", "b", "d"]
    assert viewed.items[0].item.crop is None


def test_an_id_stands_for_the_same_files_and_the_oldest_dataset_goes(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    known = ViewedDatasets(most=2)
    ids = [known.keep(view(tmp_path, dataset, title)) for title in ("x", "y", "x", "z")]
    assert ids[0] == ids[2]
    assert len(set(ids)) == 3
    assert [known.find(each) is not None for each in ids] == [True, False, True, True]
    assert known.find("") is None


def test_a_photographs_hash_is_that_of_the_file_as_it_is(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint8))
    before = photograph_hash(tmp_path / "a.png")
    assert photograph_hash(tmp_path / "a.png") == before
    save_image(tmp_path / "a.png", np.ones((5, 4, 3), np.uint8))
    assert photograph_hash(tmp_path / "a.png") != before
    with pytest.raises(PathError, match="run the workflow again"):
        photograph_hash(tmp_path / "b.png")
