"""A project folder below input, as another trainer's dataset file would have it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from maskloss.core.dataset.config_file import ConfigFile, scan_config
from maskloss.core.dataset.items import Dataset
from maskloss.core.dataset.trainer_config import read_any_config
from maskloss.core.paths import Folders

PROJECT = "input/project"


@pytest.fixture
def read(tmp_path: Path):
    """read("set.toml", text): the datasets that a file in the project describes."""

    def start(name: str, text: str) -> ConfigFile:
        path = tmp_path / PROJECT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return read_any_config(path, Folders(tmp_path / "input", tmp_path / "output"))

    return start


@pytest.fixture
def scan():
    """scan(config): the dataset, and the report's messages."""

    def start(config: ConfigFile) -> tuple[Dataset, list[str]]:
        dataset, report = scan_config(config)
        messages: Any = report["messages"]
        return dataset, messages

    return start


@pytest.fixture
def project(photograph, mask, tmp_path: Path) -> Path:
    """Photographs `set/a.jpg` and `set/b.png` with captions of two lines, masks of the left half in `masks`."""
    for name in ("a.jpg", "b.png"):
        photograph(f"{PROJECT}/set/{name}")
        stem = name.partition(".")[0]
        (tmp_path / PROJECT / f"set/{stem}.txt").write_text(f"{stem} first\n{stem} second\n")
        mask(f"{PROJECT}/masks/{stem}.png")
    return tmp_path / PROJECT
