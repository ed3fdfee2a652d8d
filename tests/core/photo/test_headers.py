"""Headers are read again when a file could have changed, and only then."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from maskloss.core.images import conversion_of, image_size
from maskloss.core.photo import headers
from maskloss.core.photo.headers import remembered
from PIL import Image

LONG_AGO_NS = 10**18


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("one")
    return path


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if all files had been written long ago."""
    monkeypatch.setattr(headers.time, "time_ns", lambda: time.perf_counter_ns() + 4 * LONG_AGO_NS)


def test_a_file_that_stays_is_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []

    def read(path: Path) -> str:
        reads.append(path.read_text())
        return reads[-1]

    assert [remembered(read, path) for _ in range(3)] == ["one"] * 3
    assert len(reads) == 3, "what was just written may change once more"
    settle(monkeypatch)
    assert [remembered(read, path) for _ in range(3)] == ["one"] * 3
    assert len(reads) == 4
    path.write_text("two")
    assert remembered(read, path) == "two"
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert remembered(read, path) == "two"
    assert len(reads) == 6


def test_what_is_raised_is_not_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    broken = [True]

    def read(path: Path) -> str:
        if broken.pop():
            raise ValueError("broken")
        broken.append(False)
        return path.name

    with pytest.raises(ValueError, match="broken"):
        remembered(read, path)
    broken.append(False)
    assert remembered(read, path) == "a.txt"
    with pytest.raises(OSError, match="none"):
        remembered(lambda path: path.read_text(), path.with_name("none"))


def test_pictures_have_the_size_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    path = tmp_path / "a.png"
    for size in ((4, 3), (5, 7)):
        Image.new("RGB", size).save(path)
        assert [image_size(path) for _ in range(2)] == [size] * 2
        assert conversion_of(path) == ()
