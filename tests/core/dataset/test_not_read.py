"""Every file that stops a scan is named at once, and each reason is the true one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from maskloss.core.dataset.config_file import read_config, scan_config
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError, ImageError
from maskloss.core.paths import Folders

Draw = Callable[..., Path]


def test_all_files_that_cannot_be_read_are_named_at_once(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    for name in "abcdefghi":
        photograph(f"set/{name}.jpg")
        mask(f"masks/{name}.png")
    for name in "bc":
        (tmp_path / f"set/{name}.jpg").write_bytes(b"")
    (tmp_path / "set/d.jpg").unlink()
    (tmp_path / "set/d.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "set/e.txt").write_bytes(b"caf\xe9")
    (tmp_path / "masks/f.png").write_bytes(b"")
    mask("masks/g.png", (90, 30))
    damaged = tmp_path / "masks/h.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    with pytest.raises(ImageError) as refused:
        scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "masks"))
    said = str(refused.value)
    assert said.startswith(f"7 items of {tmp_path / 'set'} cannot be used, and none is left out in silence: ")
    for part in ("b.jpg as an image (it is empty", "c.jpg", "d.jpg; it is a link to", "e.txt is not UTF-8", "f.png"):
        assert part in said
    assert said.endswith("; and 2 more: g, h")


def test_one_file_that_cannot_be_read_is_told_as_it_is(tmp_path: Path, photograph: Draw) -> None:
    photograph("set/a.jpg")
    (tmp_path / "set/b.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match=r"^cannot read \S+b\.jpg as an image \(it is empty, 0 bytes\)"):
        scan_dataset(DatasetConfig(tmp_path / "set"))


def test_a_folder_of_nothing_else_is_refused_with_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for name in ("a.jpg", "b.mp4"):
        (tmp_path / "set" / name).write_bytes(b"")
    with pytest.raises(ImageError, match=r"^2 items of .*a\.jpg .*b\.mp4"):
        scan_dataset(DatasetConfig(tmp_path / "set"))


def live_photos(folder: Path, photograph: Draw) -> None:
    for number in (1, 2, 3):
        photograph(f"{folder.name}/IMG_{number}.jpg")
        (folder / f"IMG_{number}.MOV").write_bytes(b"a film")


def test_live_photos_are_refused_once_with_the_setting_that_decides(tmp_path: Path, photograph: Draw) -> None:
    live_photos(tmp_path / "set", photograph)
    with pytest.raises(DatasetError) as refused:
        scan_dataset(DatasetConfig(tmp_path / "set"))
    said = str(refused.value)
    assert said.startswith("3 names are shared by several files (3 of .MOV and .jpg), the first of them IMG_1: ")
    assert "Live Photos" in said
    assert 'Load Dataset (Config File) with image_directory = "…"' in said


def test_the_setting_that_decides_about_live_photos_works(tmp_path: Path, photograph: Draw) -> None:
    live_photos(tmp_path / "set", photograph)
    (tmp_path / "set.toml").write_text("[[datasets]]\nresolution = 64\nimage_directory = 'set'\n")
    dataset, report = scan_config(read_config(tmp_path / "set.toml", Folders(tmp_path, tmp_path)))
    assert [item.media_path.suffix for item in dataset.items] == [".jpg"] * 3
    assert "3 files were not read (videos, and this dataset is one of images): " in str(report["messages"])


def test_raw_files_beside_their_photographs_are_counted_by_kind(tmp_path: Path, photograph: Draw) -> None:
    for name in ("a.jpg", "a.png", "b.jpg", "b.png", "c.jpg"):
        photograph(f"set/{name}")
    with pytest.raises(DatasetError, match=r"^2 names .*\(2 of \.jpg and \.png\).*move the files of one suffix to"):
        scan_dataset(DatasetConfig(tmp_path / "set"))


def test_each_reason_for_which_a_file_is_not_read_is_its_own(tmp_path: Path, photograph: Draw) -> None:
    for name in ("a", "gone-masklabel", "a-condlabel", "B-CONDLABEL"):
        photograph(f"set/{name}.png")
    (tmp_path / "set/raw.nef").write_bytes(b"nef")
    messages = scan_dataset(DatasetConfig(tmp_path / "set"))[1].messages()
    assert [text for text in messages if "were not read" in text] == [
        "2 files were not read (OneTrainer's pictures for inpainting models, which are not used here): "
        "B-CONDLABEL.png, a-condlabel.png",
        "1 files were not read (masks by their name, whose photograph is not there): gone-masklabel.png",
        "1 files were not read (no supported image): raw.nef",
    ]


@pytest.mark.parametrize("content", [bytes(4096), "anna smiles".encode("utf-16-le")], ids=["lost", "UTF-16"])
def test_a_caption_of_zeros_is_no_caption(tmp_path: Path, photograph: Draw, content: bytes) -> None:
    photograph("set/a.jpg")
    (tmp_path / "set/a.txt").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"a\.txt holds {content.count(0)} bytes of 0, so it is damaged or UTF-16"):
        scan_dataset(DatasetConfig(tmp_path / "set"))


@pytest.mark.parametrize("text", ["", " \r\n\t", "\u3000", "\u200b", "\ufeff\ufeff", "\u00a0\u2060\n"])
def test_a_caption_in_which_nothing_is_seen_is_blank(tmp_path: Path, photograph: Draw, text: str) -> None:
    for name, caption in (("a", text), ("b", "\u200banna, \U0001f642")):
        photograph(f"set/{name}.jpg")
        (tmp_path / f"set/{name}.txt").write_text(caption, encoding="utf-8")
    dataset, report = scan_dataset(DatasetConfig(tmp_path / "set"))
    assert [item.caption for item in dataset.items] == ["", "\u200banna, \U0001f642"]
    assert report.without_caption == ("a",)
    assert "1 caption files are blank and count as no caption: a.txt" in report.warnings()
