"""Items that cannot be are refused."""

from pathlib import Path

import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import DatasetError, SettingError


@pytest.mark.parametrize("name", ["", "/a", "../a", "a/../../b", "a\\b"])
def test_a_name_that_leaves_the_directory_is_refused(name: str) -> None:
    with pytest.raises(DatasetError, match="is not a relative path"):
        DatasetItem(name, Path("a.jpg"), LoadSettings())


def test_repeats_are_positive() -> None:
    with pytest.raises(SettingError, match="a has 0 repeats"):
        DatasetItem("a", Path("a.jpg"), LoadSettings(), repeats=0)


def test_names_are_unique() -> None:
    item = DatasetItem("a", Path("a.jpg"), LoadSettings())
    with pytest.raises(DatasetError, match="holds a more than once"):
        Dataset((item, item))


def test_a_video_is_told_by_its_suffix() -> None:
    assert DatasetItem("a", Path("a.MP4"), LoadSettings()).is_video
    assert not DatasetItem("a", Path("a.gif"), LoadSettings()).is_video


def test_people_are_counted_apart_from_photographs() -> None:
    def item(name: str, subject: str, repeats: int = 1) -> DatasetItem:
        return DatasetItem(f"{name}@{subject}", Path(f"{name}.png"), LoadSettings(), repeats=repeats, subject=subject)

    dataset = Dataset((item("party", "anna"), item("party", "berta", 2), item("beach", "anna")))
    assert dataset.photographs == (2, 0)
    assert dataset.people == "anna 2 (2 per epoch), berta 1 (2 per epoch)"
    assert ("people", dataset.people) in dataset.counted_apart
    assert dataset.items[0].whole_name == "party"
    assert Dataset(()).people == ""
