"""What lies in people's folders: links, systems' own files, masks beside photographs, and names that nearly fit."""

import sys
from pathlib import Path

import pytest
from maskloss.core.dataset.items import LoadSettings, MaskOrigin
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError, ImageError
from PIL import Image

SMALL = LoadSettings(resolution=(64, 64))


def draw(path: Path, value: int = 255, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (64, 64), value).save(path, "PNG" if not path.suffix else None, **options)
    return path


def scan(tmp_path: Path, masks: bool = False, recursive: bool = True, **settings: object):
    directory = tmp_path / "masks" if masks else None
    loading = LoadSettings(resolution=(64, 64), **settings)
    return scan_dataset(DatasetConfig(tmp_path / "set", directory, recursive=recursive, settings=loading))


def test_systems_own_files_are_no_photographs(tmp_path):
    draw(tmp_path / "set/a.png")
    for name in ("@eaDir/a.png/SYNO_M.jpg", "sub/@eaDir/b.jpg", "__MACOSX/a.png", "#recycle/c.png", "._a.png"):
        draw(tmp_path / "set" / name)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / "set" / name).write_bytes(b"x")
    assert [item.name for item in scan(tmp_path)[0].items] == ["a"]


def test_linked_folders_are_followed_once_and_in_no_circle(tmp_path):
    draw(tmp_path / "elsewhere/b.png")
    draw(tmp_path / "elsewhere_masks/b.png")
    draw(tmp_path / "set/real/a.png")
    draw(tmp_path / "masks/real/a.png")
    (tmp_path / "set/linked").symlink_to(tmp_path / "elsewhere", True)
    (tmp_path / "set/again").symlink_to(tmp_path / "elsewhere", True)
    (tmp_path / "set/inside").symlink_to(tmp_path / "set/real", True)
    (tmp_path / "set/circle").symlink_to(tmp_path, True)
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "elsewhere", True)
    (tmp_path / "masks/linked").symlink_to(tmp_path / "elsewhere_masks", True)
    dataset, _ = scan(tmp_path, masks=True)
    assert len(dataset.items) == 2
    assert {item.name.rpartition("/")[2] for item in dataset.items} == {"a", "b"}
    assert [item.name for item in scan(tmp_path, recursive=True)[0].items if "real" in item.name] == ["real/a"]


@pytest.mark.parametrize("ending", [".mask", "-masklabel", "_mask", "-mask", "_MASK"])
def test_a_mask_beside_its_photograph_is_its_mask_and_no_photograph(tmp_path, ending):
    draw(tmp_path / "set/sub/p.jpg", 90)
    beside = draw(tmp_path / f"set/sub/p{ending}.png")
    dataset, report = scan(tmp_path, require_mask=True)
    (item,) = dataset.items
    assert (item.name, item.mask_path) == ("sub/p", beside)
    assert report.masks["sub/p"] is MaskOrigin.FILE
    assert "1 images have their mask beside them: sub/p" in report.messages()


def test_a_photograph_that_is_called_mask_stays_one_and_a_masklabel_never_is(tmp_path):
    draw(tmp_path / "set/carnival_mask.png")
    draw(tmp_path / "set/gone-masklabel.png")
    dataset, report = scan(tmp_path)
    assert [item.name for item in dataset.items] == ["carnival_mask"]
    assert report.not_read == ("gone-masklabel.png",)


def test_two_masks_beside_one_photograph_are_refused_with_both_names(tmp_path):
    draw(tmp_path / "set/p.png", 90)
    draw(tmp_path / "set/p-masklabel.png")
    draw(tmp_path / "set/P_mask.jpg")
    with pytest.raises(DatasetError, match=r"belong to p: \S+P_mask\.jpg and \S+p-masklabel\.png; keep one"):
        scan(tmp_path)


def test_what_onetrainer_shows_an_inpainting_model_is_no_photograph(tmp_path):
    for name in ("p", "p-condlabel", "alone-condlabel"):
        draw(tmp_path / f"set/{name}.png", 90)
    dataset, report = scan(tmp_path)
    assert [(item.name, item.mask_path) for item in dataset.items] == [("p", None)]
    assert report.not_read == ("alone-condlabel.png", "p-condlabel.png")


def test_photographs_that_look_like_masks_of_others_are_named(tmp_path):
    for name in ("p", "seg_p", "p_matte", "masks/p", "set2/mask/q", "masquerade/r", "masks/s", "alphabet"):
        draw(tmp_path / f"set/{name}.png", 90)
    draw(tmp_path / "set/set2/q.png", 90)
    (line,) = (line for line in scan(tmp_path)[1].warnings() if "look like masks" in line)
    assert line.startswith("4 images look like masks of others and are trained on as photographs")
    assert line.endswith(": masks/p, p_matte, seg_p, set2/mask/q")


def test_a_mask_that_keeps_the_suffix_of_its_photograph_is_near_it(tmp_path):
    draw(tmp_path / "set/p.png", 90)
    draw(tmp_path / "masks/p.jpg.png")
    assert (
        "1 mask files have the name of no photograph or video: p.jpg.png (near p)" in scan(tmp_path, True)[1].messages()
    )


@pytest.mark.parametrize(("content", "said"), [(None, "it is a link to /gone"), (b"", "it is empty, 0 bytes")])
def test_what_is_wrong_with_a_file_without_content_is_said(tmp_path, content, said):
    (tmp_path / "set").mkdir()
    if content is None:
        (tmp_path / "set/p.jpg").symlink_to("/gone/p.jpg")
    else:
        (tmp_path / "set/p.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=said):
        scan(tmp_path)


def test_lines_of_a_caption_end_alike_on_every_system(tmp_path):
    draw(tmp_path / "set/p.png", 90)
    (tmp_path / "set/p.txt").write_bytes(b"a man\r\nin a hat\r\n")
    assert scan(tmp_path)[0].items[0].caption == "a man\nin a hat"


def test_the_mask_directory_goes_before_a_mask_beside(tmp_path):
    draw(tmp_path / "set/p.png", 90)
    draw(tmp_path / "set/p_mask.png")
    wanted = draw(tmp_path / "masks/p.png")
    dataset, report = scan(tmp_path, masks=True)
    assert dataset.items[0].mask_path == wanted
    assert report.beside == ()


def test_what_does_not_fit_is_named_with_what_it_is_near_to(tmp_path):
    for name in ("IMG_1", "IMG_2", "IMG_3"):
        draw(tmp_path / f"set/{name}.png", 90)
    for name in ("IMG_1", "IMG_2_mask", "unrelated"):
        draw(tmp_path / f"masks/{name}.png")
    _, report = scan(tmp_path, masks=True)
    assert "2 images have no matching mask file: IMG_2, IMG_3" in report.messages()
    assert (
        "2 mask files have the name of no photograph or video: IMG_2_mask.png (near IMG_2), unrelated.png"
        in report.messages()
    )
    told = report.to_json()
    assert told["unmatched"] == ["IMG_2", "IMG_3"]
    assert told["unused_masks"] == ["IMG_2_mask.png", "unrelated.png"]


def test_heic_alone_is_told_what_reads_it_and_not_to_look_in_subfolders(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(DatasetError, match=r"a\.heic.*pillow-heif.*maskloss\[photos\]") as caught:
        scan(tmp_path, recursive=False)
    assert "recursive" not in str(caught.value)


def test_a_picture_without_suffix_is_a_photograph(tmp_path):
    draw(tmp_path / "set/IMG_1")
    (tmp_path / "set/LICENSE").write_text("words")
    assert [item.name for item in scan(tmp_path)[0].items] == ["IMG_1"]


def test_frames_and_colours_that_are_not_used_are_told(tmp_path):
    frames = [Image.new("RGB", (64, 64), (value, 0, 0)) for value in (9, 200)]
    (tmp_path / "set").mkdir()
    frames[0].save(tmp_path / "set/a.gif", save_all=True, append_images=frames[1:])
    draw(tmp_path / "set/b.png", 90, icc_profile=b"broken")
    messages = scan(tmp_path)[1].messages()
    assert "1 images hold several frames or pages, of which the first is used: a" in messages
    assert "1 images have a colour profile that cannot be used and is ignored: b" in messages
