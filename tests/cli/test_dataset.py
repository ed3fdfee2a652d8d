"""`maskloss dataset`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.dataset import export
from maskloss.cli.dataset_parser import TRAINERS
from maskloss.cli.main import EXIT_OK, EXIT_USER, main
from maskloss.core.dataset.read_toml import read_toml
from maskloss.core.masks.trainer_files import Trainer
from PIL import Image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    rgba = np.random.default_rng(0).integers(0, 256, (20, 30, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "set/a.png")
    return tmp_path / "set"


def test_a_folder_is_exported_with_its_alpha(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["dataset", "export", str(folder), str(tmp_path / "out"), "--format", "diffusion-pipe"]
    assert main([*arguments, "--alpha-mask", "--resolution", "64"]) == EXIT_OK
    assert "dataset.toml names them for diffusion-pipe" in capsys.readouterr().out
    with Image.open(folder / "a.png") as photograph, Image.open(tmp_path / "out/masks/a.png") as mask:
        assert np.array_equal(np.asarray(photograph)[..., 3], np.asarray(mask))
    (table,) = read_toml(tmp_path / "out/dataset.toml")["directory"]
    assert table["resolutions"] == [[64, 64]]
    assert main([*arguments, "--alpha-mask"]) == EXIT_USER
    assert "holds something already" in capsys.readouterr().err


def test_a_dataset_file_is_exported_with_its_settings(folder: Path, tmp_path: Path) -> None:
    text = f'[[datasets]]\nimage_directory = "{folder}"\nalpha_mask = true\nnum_repeats = 3\nresolution = 32\n'
    (tmp_path / "set.toml").write_text(text)
    export(tmp_path / "set.toml", tmp_path / "out", "blissful-tuner", None, False, False, 1024)
    (table,) = read_toml(tmp_path / "out/dataset.toml")["datasets"]
    assert (table["num_repeats"], table["resolution"]) == (3, [32, 32])


def test_every_trainer_can_be_named() -> None:
    assert tuple(each.value for each in Trainer) == TRAINERS
