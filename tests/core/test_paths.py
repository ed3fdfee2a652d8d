from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from maskloss.core.errors import PathError
from maskloss.core.paths import (
    Folders,
    PathKind,
    listing_digest,
    numbered_path,
    resolve_read,
    resolve_read_or_write,
    resolve_write,
    roots_from_environment,
)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    for name in ("input/photos", "output/loras", "elsewhere/photos", "opened/photos"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.txt").write_text("a")
    return Folders(tmp_path / "input", tmp_path / "output", roots=(tmp_path / "opened",))


def test_relative_reads_try_input_then_output(folders: Folders) -> None:
    assert resolve_read(folders, "photos") == folders.input / "photos"
    assert resolve_read(folders, "loras/a.txt") == folders.output / "loras/a.txt"
    assert resolve_read(folders, "loras\\a.txt") == folders.output / "loras/a.txt"


def test_both_present_is_an_error_and_a_suffix_decides(folders: Folders) -> None:
    (folders.output / "photos").mkdir()
    with pytest.raises(PathError, match=r"directory: 'photos' lies in both input and output .*\[input\]"):
        resolve_read(folders, "photos", "directory")
    assert resolve_read(folders, "photos [input]") == folders.input / "photos"
    assert resolve_read(folders, "photos  [output] ") == folders.output / "photos"


def test_what_is_there_is_read_in_place_and_what_is_not_is_written_under_output(folders: Folders) -> None:
    assert resolve_read_or_write(folders, "photos") == (folders.input / "photos", False)
    assert resolve_read_or_write(folders, "photos [input]") == (folders.input / "photos", False)
    assert resolve_read_or_write(folders, str(folders.input / "photos")) == (folders.input / "photos", False)
    assert resolve_read_or_write(folders, "loras") == (folders.output / "loras", True)
    assert resolve_read_or_write(folders, "new") == (folders.output / "new", True)
    assert resolve_read_or_write(folders, "photos [output]") == (folders.output / "photos", True)
    assert resolve_read_or_write(folders, str(folders.roots[0] / "new")) == (folders.roots[0] / "new", True)
    elsewhere = folders.input.parent / "elsewhere/photos"
    with pytest.raises(PathError, match="lies outside the folders that are open"):
        resolve_read_or_write(folders, str(elsewhere))
    assert resolve_read_or_write(replace(folders, absolute_allowed=True), str(elsewhere)) == (elsewhere, True)
    with pytest.raises(PathError, match="was not found"):
        resolve_read_or_write(folders, "nowhere [input]")
    with pytest.raises(PathError, match="a directory was expected"):
        resolve_read_or_write(folders, "photos/a.txt")
    (folders.output / "photos").mkdir()
    with pytest.raises(PathError, match="masks: 'photos' lies in both input and output"):
        resolve_read_or_write(folders, "photos", "masks")
    same = Folders(folders.input, folders.input)
    assert resolve_read_or_write(same, "photos") == (folders.input / "photos", True)


def test_same_folder_for_input_and_output_is_not_ambiguous(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    assert resolve_read(Folders(tmp_path, tmp_path), "x") == tmp_path / "x"


@pytest.mark.parametrize("text", ["..", "../elsewhere/photos", "photos/../../elsewhere", "..\\elsewhere\\photos"])
def test_a_relative_path_never_climbs_out(folders: Folders, text: str) -> None:
    with pytest.raises(PathError, match="leads out of"):
        resolve_read(folders, text)
    with pytest.raises(PathError, match="leads out of"):
        resolve_write(folders, text)


def test_a_link_does_not_climb_out_either(folders: Folders, tmp_path: Path) -> None:
    (folders.input / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PathError, match="leads out of"):
        resolve_read(folders, "link/photos")
    (folders.input / "good").symlink_to(tmp_path / "opened")
    assert resolve_read(folders, "good/photos") == tmp_path / "opened/photos"


def test_absolute_paths_only_where_open(folders: Folders, tmp_path: Path) -> None:
    assert resolve_read(folders, str(folders.input / "photos")) == folders.input / "photos"
    assert resolve_read(folders, str(tmp_path / "opened/photos")) == tmp_path / "opened/photos"
    for text in (str(tmp_path / "elsewhere/photos"), str(tmp_path / "opened/../elsewhere/photos")):
        with pytest.raises(PathError, match=r"outside the folders that are open .*MASKLOSS_ROOTS"):
            resolve_read(folders, text)
    anywhere = Folders(folders.input, folders.output, absolute_allowed=True)
    assert resolve_read(anywhere, str(tmp_path / "elsewhere/photos")) == tmp_path / "elsewhere/photos"


def test_writes_lie_under_output(folders: Folders, tmp_path: Path) -> None:
    assert resolve_write(folders, "new/cache") == folders.output / "new/cache"
    assert resolve_write(folders, "new/cache [output]") == folders.output / "new/cache"
    assert not (folders.output / "new").exists()
    with pytest.raises(PathError, match="only read"):
        resolve_write(folders, "new [input]")
    with pytest.raises(PathError, match="outside the folders"):
        resolve_write(folders, str(folders.input / "x"))
    assert resolve_write(folders, str(tmp_path / "opened/x")) == tmp_path / "opened/x"


@pytest.mark.skipif(os.name == "nt", reason="these are paths there")
def test_windows_paths_are_named_as_such(folders: Folders) -> None:
    for text in ("C:\\photos", "\\\\server\\share\\photos"):
        with pytest.raises(PathError, match="Windows path"):
            resolve_read(folders, text)


def test_missing_wrong_kind_and_empty(folders: Folders) -> None:
    with pytest.raises(PathError, match=r"directory: 'none' was not found .*input/none and .*output/none"):
        resolve_read(folders, "none", "directory")
    with pytest.raises(PathError, match="is a file, a directory was expected"):
        resolve_read(folders, "photos/a.txt", kind=PathKind.DIRECTORY)
    with pytest.raises(PathError, match="is a directory, a file was expected"):
        resolve_read(folders, "photos", kind=PathKind.FILE)
    with pytest.raises(PathError, match="cache_directory is empty"):
        resolve_write(folders, "  ", "cache_directory")
    with pytest.raises(PathError, match="NUL"):
        resolve_read(folders, "a\0b")


def test_a_circle_of_links_is_a_path_error(folders: Folders) -> None:
    (folders.input / "circle").symlink_to(folders.input / "circle")
    with pytest.raises(PathError):
        resolve_read(folders, "circle")


def test_folders_are_absolute() -> None:
    with pytest.raises(PathError, match="is relative"):
        Folders(Path("input"), Path("/output"))


def test_roots_from_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MASKLOSS_ROOTS", os.pathsep.join([str(tmp_path / "a"), "", str(tmp_path / "b")]))
    assert roots_from_environment() == (tmp_path / "a", tmp_path / "b")
    monkeypatch.delenv("MASKLOSS_ROOTS")
    assert roots_from_environment() == ()


def test_listing_digest_sees_names_sizes_and_times(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a").write_text("a")
    (tmp_path / "b").write_text("b")
    whole, flat = listing_digest([tmp_path]), listing_digest([tmp_path], recursive=False)
    assert whole == listing_digest([tmp_path])
    (tmp_path / "deep/a").write_text("aa")
    assert whole != listing_digest([tmp_path])
    assert flat == listing_digest([tmp_path], recursive=False)
    os.utime(tmp_path / "b", ns=(1, 1))
    assert flat != listing_digest([tmp_path], recursive=False)
    assert listing_digest([tmp_path / "missing"]) != listing_digest([tmp_path / "b"])


def test_a_change_behind_a_link_is_noticed(tmp_path: Path) -> None:
    for folder in ("set/real", "elsewhere/deep", "other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "set/linked").symlink_to(tmp_path / "elsewhere", True)
    (tmp_path / "set/around").symlink_to(tmp_path, True)  # a circle
    (tmp_path / "set/inside").symlink_to(tmp_path / "set/real", True)
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "elsewhere", True)
    (tmp_path / "elsewhere/further").symlink_to(tmp_path / "other", True)
    (tmp_path / "set/b").symlink_to(tmp_path / "b")
    seen = [listing_digest([tmp_path / "set"])]
    for name in ("elsewhere/a", "elsewhere/deep/a", "other/a", "set/real/a", "b"):
        (tmp_path / name).write_text("a")
        seen.append(listing_digest([tmp_path / "set"]))
        (tmp_path / name).write_text("changed")
        seen.append(listing_digest([tmp_path / "set"]))
    assert len(set(seen)) == len(seen)
    assert listing_digest([tmp_path / "set"]) == seen[-1]
    (tmp_path / "unseen").write_text("a")  # around the folder, not in it
    assert listing_digest([tmp_path / "set"]) == seen[-1]
    flat = listing_digest([tmp_path / "set"], recursive=False)
    (tmp_path / "other/b").write_text("b")
    assert flat == listing_digest([tmp_path / "set"], recursive=False)


def test_numbered_path_goes_on_counting(tmp_path: Path) -> None:
    assert numbered_path(tmp_path / "none", "rgba", ".png").name == "rgba_00001.png"
    (tmp_path / "rgba_00007.png").touch()
    (tmp_path / "rgba_x.png").touch()
    assert numbered_path(tmp_path, "rgba", ".png").name == "rgba_00008.png"


def test_names_that_no_disk_takes_are_said(folders: Folders, tmp_path: Path) -> None:
    for text in ("é" * 128, "a/" * 2000 + "b"):
        for resolve in (resolve_read, resolve_write):
            with pytest.raises(PathError, match="too long for a disk"):
                resolve(folders, text)
    assert resolve_write(folders, "é" * 127).name == "é" * 127
    assert len(numbered_path(tmp_path, "x" * 244, ".json").name) == 255
    with pytest.raises(PathError, match="256 bytes, and 255 are possible"):
        numbered_path(tmp_path, "x" * 245, ".json")
