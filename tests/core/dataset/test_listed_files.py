"""Lists of files in JSON Lines, as musubi-tuner's dataset files name them."""

import json
from pathlib import Path

import pytest
from maskloss.core.dataset.config_file import read_config, scan_config
from maskloss.core.dataset.listed_files import read_listing
from maskloss.core.errors import DatasetError
from maskloss.core.paths import Folders


def lines(*entries: object) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str, name: str = "input/project/list.jsonl") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def test_a_dataset_of_the_files_listed_and_no_others(write, photograph, mask, tmp_path: Path) -> None:
    for name in ("one/a.jpg", "two/b.png", "two/c.png"):
        photograph(f"input/project/{name}")
    mask("input/project/masks/b.png")
    listed = lines(
        {"image_path": str(tmp_path / "input/project/one/a.jpg"), "caption": "of a"},
        {"image_path": "two/b.png", "caption": "of b"},
    )
    write(listed)
    text = '[[datasets]]\nimage_jsonl_file = "list.jsonl"\nmask_directory = "masks"\nresolution = 512\n'
    config = read_config(write(text, "input/project/set.toml"), Folders(tmp_path / "input", tmp_path / "output"))
    dataset, report = scan_config(config)
    assert [(item.name, item.caption, item.mask_path is not None) for item in dataset.items] == [
        ("one/a", "of a", False),
        ("two/b", "of b", True),
    ]
    json.dumps(report)


def test_control_images_of_one_folder_with_the_photographs_names(write, photograph) -> None:
    for name in ("a.jpg", "control/a.png"):
        photograph(f"input/project/{name}")
    entry = {"image_path": "a.jpg", "control_path": "control/a.png", "caption": "x"}
    listing = read_listing(write(lines(entry)), "image_path")
    assert listing.control_directory is not None
    assert listing.control_directory.name == "control"


def test_several_control_images_by_number(write, photograph) -> None:
    for name in ("a.jpg", "b.jpg", "control/a_0.png", "control/a_1.png", "control/b.png"):
        photograph(f"input/project/{name}")
    shown = {"image_path": "a.jpg", "control_path_0": "control/a_0.png", "control_path_1": "control/a_1.png"}
    listing = read_listing(write(lines(shown, {"image_path": "b.jpg", "control_path": "control/b.png"})), "image_path")
    assert listing.control_directory is not None
    with pytest.raises(DatasetError, match="or not for all"):
        read_listing(write(lines(shown, {"image_path": "b.jpg"})), "image_path")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"image_path": "gone.jpg", "caption": ""}, "Line 1 of .*gone.jpg, which is not there"),
        ({"image_path": "folder", "caption": ""}, "a folder of frames, which is not read"),
        ({"video_path": "a.jpg", "caption": ""}, "has no image_path"),
        ({"image_path": "a.jpg", "image_path_0": "b.jpg"}, "has image_path_0; each photograph is one target"),
        ({"image_path": "a.jpg", "control_path_1": "control/a_0.png"}, r"so call it a_1\.png"),
        ({"image_path": "a.jpg", "control_path": "control/z.png"}, "control images are found by name"),
        ([1], "is no entry with a file and a caption"),
    ],
)
def test_what_cannot_be_had_is_refused_by_its_line(write, photograph, entry, message) -> None:
    photograph("input/project/a.jpg")
    photograph("input/project/folder/x.jpg")
    with pytest.raises(DatasetError, match=message):
        read_listing(write(lines(entry)), "image_path")


def test_damaged_and_empty_lists(write) -> None:
    with pytest.raises(DatasetError, match=r"Line 1 of .* is damaged"):
        read_listing(write("{"), "image_path")
    with pytest.raises(DatasetError, match="lists no files"):
        read_listing(write("\n"), "image_path")
