"""Folders that are named by what goes there: neither two datasets meet in one, nor two settings of one dataset."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut, LoadSettings
from maskloss.core.errors import PathError
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.output_folders import earlier_directories, output_directory_for, parts_directory


@pytest.fixture
def output(tmp_path: Path) -> Iterator[Path]:
    with use_host(LocalHost(tmp_path / "in", tmp_path / "out")):
        yield tmp_path / "out"


def dataset(folder: Path, *names: str) -> Dataset:
    return Dataset(tuple(DatasetItem(name, folder / f"{name}.png", LoadSettings()) for name in names))


def test_what_is_told_is_taken_and_stays_under_output(output: Path, tmp_path: Path) -> None:
    some = dataset(tmp_path / "in/ann", "a")
    assert output_directory_for("here", "masks", some) == output / "here"
    with pytest.raises(PathError, match="output_directory"):
        output_directory_for("../../away", "masks", some)


def test_a_folder_is_named_after_the_photographs_and_what_is_made_of_them(output: Path, tmp_path: Path) -> None:
    some = dataset(tmp_path / "in/ann", "a", "sub/b")
    first = output_directory_for("", "masks", some, "tiers")
    assert first.parent == output / "maskloss/masks"
    assert first.name.startswith("ann-")
    assert output_directory_for(" ", "masks", some, "tiers") == first
    assert output_directory_for("", "masks", dataset(tmp_path / "in/ann", "a", "sub/b", "c"), "tiers") == first
    others = {
        output_directory_for("", "masks", some, "other tiers"),
        output_directory_for("", "masks", dataset(tmp_path / "in/old/ann", "a"), "tiers"),
        output_directory_for("", "masks", dataset(tmp_path / "in/bob", "a"), "tiers"),
    }
    assert len(others | {first}) == 4


def test_photographs_that_were_left_out_count_as_well(output: Path, tmp_path: Path) -> None:
    whole = dataset(tmp_path / "in/set", "x/a", "y/b")
    first, second = whole.items
    thinned = Dataset((first,), (LeftOut(second, "nobody"),))
    assert output_directory_for("", "masks", thinned) == output_directory_for("", "masks", whole)
    assert output_directory_for("", "masks", Dataset((first,))) != output_directory_for("", "masks", whole)


def test_masks_of_two_people_lie_apart(output: Path, tmp_path: Path) -> None:
    (item,) = dataset(tmp_path / "in/ann", "a").items
    hers, his = (Dataset((replace(item, mask_path=tmp_path / f"masks/{who}/a.png"),)) for who in ("her", "him"))
    assert output_directory_for("", "person", hers) != output_directory_for("", "person", his)


def test_nothing_at_all_has_a_folder_too(output: Path) -> None:
    assert output_directory_for("", "masks", Dataset(())) == output / "maskloss/masks"


def test_earlier_folders_are_those_of_the_same_photographs(output: Path, tmp_path: Path) -> None:
    some = dataset(tmp_path / "in/ann", "a")
    one, two, three = (output_directory_for("", "masks", some, number) for number in range(3))
    assert earlier_directories(one) == []
    for folder in (one, two, output / "maskloss/masks/ann-and-more-of-her", output / "maskloss/masks/bob-12345678"):
        folder.mkdir(parents=True)
    three.parent.joinpath("ann-00000000").write_text("a file")
    assert earlier_directories(three) == sorted((one, two))
    assert earlier_directories(one) == [two]


def test_parts_of_all_datasets_lie_together(output: Path) -> None:
    assert parts_directory() == output / "maskloss/parts"
