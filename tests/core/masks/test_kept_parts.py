"""Parts are segmented once: what was kept is what was found, and whatever cannot be read is found again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.masks.kept_parts import KeptParts
from maskloss.core.parts.part_map import SCHEMES, PartMap, PartScheme
from maskloss.core.warning import collect_warnings

MANY = PartScheme("many", tuple(f"class {n}" for n in range(300)), frozenset({"class 7"}), frozenset({"class 299"}))


class Found:
    """Parts of random labels, and how often they were asked for."""

    def __init__(self, scheme: PartScheme, seed: int = 0, size: int = 37) -> None:
        labels_HW = np.random.default_rng(seed).integers(0, len(scheme.names), (size, size + 9))
        self.parts, self.calls = PartMap(labels_HW, scheme, approximate=bool(seed % 2)), 0

    def __call__(self) -> PartMap:
        self.calls += 1
        return self.parts


def files_in(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


@pytest.mark.parametrize("scheme", [*SCHEMES.values(), MANY], ids=lambda scheme: scheme.id)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_was_kept_is_what_was_found(tmp_path: Path, scheme: PartScheme, seed: int) -> None:
    found = Found(scheme, seed)
    KeptParts(tmp_path).get(found, "photograph", "segmenter")
    again = KeptParts(tmp_path).get(found, "photograph", "segmenter")
    assert found.calls == 1
    assert again.scheme == scheme
    assert again.approximate is bool(seed)
    np.testing.assert_array_equal(again.label_HW, found.parts.label_HW)


def test_another_photograph_frame_or_segmenter_has_parts_of_its_own(tmp_path: Path) -> None:
    kept, found = KeptParts(tmp_path), Found(MANY)
    for made_from in (("a", "s"), ("b", "s"), ("a", "t"), ("a", "s", 0), ("a", "s", 1)):
        assert not kept.has(*made_from)
        kept.get(found, *made_from)
        assert kept.has(*made_from)
    assert found.calls == kept.segmented == 5
    assert len(files_in(tmp_path)) == 5


def test_without_a_directory_nothing_is_kept() -> None:
    kept, found = KeptParts(None), Found(MANY)
    for _ in range(2):
        assert kept.get(found, "a") is found.parts
    assert found.calls == 2


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "foreign", "pickle"])
def test_a_damaged_file_is_made_again(tmp_path: Path, damage: str) -> None:
    found = Found(MANY)
    KeptParts(tmp_path).get(found, "a")
    (path,) = files_in(tmp_path)
    whole = path.read_bytes()
    if damage == "pickle":
        with path.open("wb") as stream:
            np.savez(stream, labels=np.array([{}], object), facts=np.array("{}"))
    else:
        middle = len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]
        contents = {"empty": b"", "cut": whole[:middle], "flipped": flipped, "foreign": b"not ours" * 40}
        path.write_bytes(contents[damage])
    again = KeptParts(tmp_path).get(found, "a")
    np.testing.assert_array_equal(again.label_HW, found.parts.label_HW)
    assert found.calls == 2
    KeptParts(tmp_path).get(found, "a")
    assert found.calls == 2, "it was written whole again"


def test_beyond_the_bound_those_used_longest_ago_go(tmp_path: Path) -> None:
    kept = KeptParts(tmp_path)
    for number in range(6):
        kept.get(Found(MANY, number), number)
        os.utime(kept._path((number,)), (number, number))
    used = KeptParts(tmp_path).get(Found(MANY), 0)  # used now, so 1 is the oldest
    assert used.size == (46, 37)
    size = max(path.stat().st_size for path in files_in(tmp_path))
    bounded = KeptParts(tmp_path, most_bytes=4 * size)
    bounded.get(Found(MANY, 7), 7)
    left = [number for number in range(8) if kept.has(number)]
    assert left == [0, 5, 7]
    assert sum(path.stat().st_size for path in files_in(tmp_path)) <= 4 * size


def test_a_folder_that_cannot_be_written_costs_a_warning_and_no_mask(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    kept, found = KeptParts(blocked), Found(MANY)
    with collect_warnings(lambda _: None) as warnings:
        assert kept.get(found, "a") is found.parts
        assert kept.get(found, "b") is found.parts
    (text,) = warnings.texts
    assert "Parts are not kept" in text
    assert str(blocked) in text
