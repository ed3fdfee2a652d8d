"""Every file of a dataset's folders ends in exactly one count, with its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.found_files import FileKind
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.video.clips import VideoSettings

from .small_files import SMALL, draw, write


def all_files(*folders: Path) -> set[str]:
    """What lies below the folders, links to folders included, each file once."""
    found: set[str] = set()
    for folder in folders:
        for here, _, files in os.walk(folder, followlinks=True):
            found |= {os.path.join(os.path.realpath(here), name) for name in files}
    return found


@pytest.fixture
def everything(tmp_path: Path, make_video: Callable[..., Path]) -> DatasetConfig:
    """Folders with one or more of every kind of file."""
    media = tmp_path / "set"
    draw(media / "a.png"), draw(media / "b.JPG"), draw(media / "sub/c.webp"), draw(media / "10_me/d.png")
    draw(tmp_path / "elsewhere/e.png")
    (media / "linked").symlink_to(tmp_path / "elsewhere", True)
    for name, frames in (("clip", 9), ("short", 2)):
        make_video(media / f"{name}.mkv", np.zeros((frames, 64, 64, 3), np.uint8))
    draw(media / "a-masklabel.png"), draw(media / "b_mask.png"), draw(media / "gone-masklabel.png")
    (
        write(media / "raw.heic", "no picture"),
        write(media / "notes.md"),
        write(media / "noext"),
        write(media / "set.toml"),
    )
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "sub/.hidden.png"):
        write(media / name)
    draw(media / "@eaDir/a.png/SYNO.jpg"), draw(media / "@eaDir/x.png"), draw(media / ".cache/y.png")
    draw(media / "built/a.png"), write(media / "built/.maskloss_masks.json", "{}")
    # Masks below the photographs: what lies there is no photograph.
    masks = media / "masks"
    draw(masks / "a.png"), draw(masks / "c.png"), draw(masks / "IMG_nobody.png"), write(masks / "readme.md")
    for number in range(9):
        draw(masks / f"clip/{number}.png")
    write(masks / "clip/list.csv")
    captions = tmp_path / "captions"
    write(captions / "a.txt", "me"), write(captions / "b.txt", " \n"), write(captions / "a_old.txt", "x")
    write(captions / "style.css")
    controls = tmp_path / "controls"
    draw(controls / "a.png"), draw(controls / "sub/who.png"), write(controls / "desktop.ini")
    return DatasetConfig(media, masks, captions, ".txt", controls, recursive=True, settings=SMALL)


@pytest.fixture
def roots(everything: DatasetConfig) -> list[Path]:
    folders = (everything.directory, everything.mask_directory, everything.caption_directory)
    return [folder for folder in (*folders, everything.control_directory) if folder is not None]


def test_the_counts_add_up_to_all_files(
    everything: DatasetConfig, roots: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    _, report = scan_dataset(everything)
    files = report.files
    assert {kind.value: names for kind, names in files.names.items()} == {
        "photographs": ("10_me/d.png", "a.png", "b.JPG", "linked/e.png", "sub/c.webp"),
        "videos": ("clip.mkv",),
        "videos_left_out": ("short.mkv",),
        "masks": ("a.png", "b_mask.png", "c.png", *(f"clip/{number}.png" for number in range(9))),
        "masks_beside_unused": ("a-masklabel.png",),
        "captions": ("a.txt",),
        "captions_blank": ("b.txt",),
        "controls": ("a.png",),
        "not_read": ("gone-masklabel.png", "raw.heic"),
        "masks_unused": ("IMG_nobody.png",),
        "captions_unused": ("a_old.txt",),
        "controls_unused": ("sub/who.png",),
        "made_here": ("built/ (2 files)",),
        "subfolders": (),
        "system": (
            ".DS_Store", ".cache/ (1 files)", "@eaDir/ (2 files)", "Thumbs.db", "controls/desktop.ini", "desktop.ini",
            "sub/.hidden.png",
        ),
        "other": ("captions/style.css", "masks/clip/list.csv", "masks/readme.md", "noext", "notes.md", "set.toml"),
    }  # fmt: skip
    assert files.found == len(all_files(*roots)) == sum(files.counts.values())
    told = report.to_json()["files"]
    assert isinstance(told, dict)
    assert told["found"] == files.found
    assert told["counts"]["system"] == 8
    assert set(told["counts"]) == set(told["names"]) == {kind.value for kind in FileKind}


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_they_add_up_under_any_settings(
    everything: DatasetConfig, roots: list[Path], recursive: bool, beside: bool
) -> None:
    config = replace(everything, recursive=recursive, images=True, videos=False)
    if beside:
        config = replace(config, caption_directory=None, mask_directory=None, control_directory=None)
    _, report = scan_dataset(config)
    looked = roots[:1] if beside else roots
    # A link is no file; without `recursive` it is not followed.
    linked = set() if recursive else all_files(everything.directory / "linked")
    assert report.files.found == len(all_files(*looked) - linked)
    assert report.files.counts[FileKind.NOT_READ] >= 2, "the videos"
    if recursive:
        assert report.files.counts[FileKind.SUBFOLDERS] == 0
    elif beside:
        assert "masks/ (14 files)" in report.files.of(FileKind.SUBFOLDERS)
    else:
        assert report.files.of(FileKind.SUBFOLDERS) == ("10_me/ (1 files)", "built/ (2 files)", "sub/ (2 files)")


def test_cache_text_counts_captions_as_the_scan_does(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    draw(tmp_path / "set/a.png"), draw(tmp_path / "set/b.png"), draw(tmp_path / "set/c.png")
    make_video(tmp_path / "set/clip.mkv", np.zeros((9, 64, 64, 3), np.uint8))
    write(tmp_path / "set/a.txt", "\n"), write(tmp_path / "set/b.txt", "me")
    loading = replace(SMALL, video=VideoSettings(target_frames=(1, 5)))
    dataset, report = scan_dataset(DatasetConfig(tmp_path / "set", settings=loading))
    cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    assert len(cache.entries) == 5, "the video gives two clips"
    told = cache_text(cache, DemoTextEncoder())[1]["counts"]
    assert isinstance(told, dict)
    assert told["without_caption"] == report.to_json()["counts"]["without_caption"] == 3
