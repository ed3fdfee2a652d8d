"""Folders named `<number>_<name>` say how often their photographs come, where that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from maskloss.core.dataset.config_file import read_config, scan_config
from maskloss.core.dataset.items import LoadSettings
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError
from maskloss.core.paths import Folders
from PIL import Image


@pytest.fixture
def config(tmp_path: Path) -> DatasetConfig:
    for name in ("10_me/a", "10_me/b", "10_me/3_close/c", "1_room/d", "2024_holiday/e", "plain/f", "g", "7_/h", "_8/i"):
        path = tmp_path / f"train/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 64), 9).save(path)
    return DatasetConfig(tmp_path / "train", recursive=True, num_repeats=2, settings=LoadSettings((64, 64)))


def repeats(config: DatasetConfig) -> dict[str, int]:
    return {item.name: item.repeats for item in scan_dataset(config)[0].items}


def test_they_are_hinted_at_and_not_honoured_unasked(config: DatasetConfig) -> None:
    _, report = scan_dataset(config)
    assert set(repeats(config).values()) == {2}
    hints = [line for line in report.warnings() if "folder_repeats" in line]
    assert hints == [
        "3 folders are named like kohya's repeats (10_me, 10_me/3_close, 1_room), and folder_repeats is off, so that "
        "their items come 2 times each; turn it on to have them 20, 6, 2 times"
    ]


def test_they_multiply_num_repeats_and_the_nearest_folder_counts(config: DatasetConfig) -> None:
    asked = replace(config, folder_repeats=True)
    assert repeats(asked) == {
        "10_me/a": 20, "10_me/b": 20, "10_me/3_close/c": 6, "1_room/d": 2, "2024_holiday/e": 4048, "plain/f": 2,
        "g": 2, "7_/h": 2, "_8/i": 2,
    }  # fmt: skip
    _, report = scan_dataset(asked)
    assert not [line for line in report.warnings() if "repeats" in line]
    assert "10_me: 2 items come 20 times each" in report.messages()


def test_the_folder_given_counts_itself(config: DatasetConfig) -> None:
    one = replace(config, directory=config.directory / "10_me", folder_repeats=True, num_repeats=1)
    assert repeats(one) == {"a": 10, "b": 10, "3_close/c": 3}


def test_none_at_all_is_refused(config: DatasetConfig) -> None:
    (config.directory / "1_room").rename(config.directory / "0_room")
    with pytest.raises(DatasetError, match=r"0_room .*0 repeats; expected 1 or more: .*folder_repeats off"):
        scan_dataset(replace(config, folder_repeats=True))
    assert repeats(config)["0_room/d"] == 2


def test_a_dataset_file_asks_for_them_by_the_same_name(config: DatasetConfig) -> None:
    base = config.directory.parent
    folders = Folders(base, base / "out")
    for line, wanted in (("folder_repeats = true", {20, 6, 2, 4048}), ("", {2})):
        (base / "set.toml").write_text(
            f"[general]\nresolution = 64\nrecursive = true\nnum_repeats = 2\n{line}\n[[datasets]]\nimage_directory = "
            '"train"\n'
        )
        dataset, _ = scan_config(read_config(base / "set.toml", folders))
        assert {item.repeats for item in dataset.items} == wanted
    (base / "set.toml").write_text('[[datasets]]\nimage_directory = "train"\nfolder_repeats = 10\n')
    with pytest.raises(DatasetError, match=r"folder_repeats = 10; it must be true or false"):
        read_config(base / "set.toml", folders)
