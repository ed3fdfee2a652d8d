"""Dataset files are known by what stands in them."""

from pathlib import Path

import pytest
from maskloss.core.dataset.trainer_config import read_any_config
from maskloss.core.errors import DatasetError
from maskloss.core.paths import Folders


@pytest.fixture
def read(tmp_path: Path):
    def read(name: str, text: str):
        path = tmp_path / "input" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return read_any_config(path, Folders(tmp_path / "input", tmp_path / "output"))

    return read


def test_our_own_file_is_still_read(read, photograph) -> None:
    photograph("input/set/a.jpg")
    (one,) = read("set.toml", '[[datasets]]\nimage_directory = "set"\n').datasets
    assert one.directory.name == "set"


def test_a_file_of_nobody_and_a_damaged_one(read) -> None:
    with pytest.raises(DatasetError, match="is no dataset file that is known; TOML of musubi-tuner"):
        read("other.json", '{"a": 1}')
    with pytest.raises(DatasetError, match=r"is damaged .*mend it as JSON"):
        read("broken.json", "{")
