"""What a scan says of what it found: what is missing, what is near to it, and each count with its names."""

from __future__ import annotations

from pathlib import Path

from maskloss.core.dataset.scan import DatasetConfig, scan_dataset

from .small_files import SMALL, draw, write


def test_captions_and_control_images_of_nothing_are_named_with_what_is_near(tmp_path: Path) -> None:
    for name in ("IMG_1", "IMG_2", "IMG_3"):
        draw(tmp_path / f"set/{name}.png", 90)
    for name in ("IMG_1", "IMG-2", "licence"):
        write(tmp_path / f"set/{name}.txt", "words")
    for name in ("IMG_1", "IMG_3_mask", "else"):
        draw(tmp_path / f"controls/{name}.png", 90)
    _, report = scan_dataset(DatasetConfig(tmp_path / "set", control_directory=tmp_path / "controls", settings=SMALL))
    assert report.warnings() == (
        "2 images have no caption: IMG_2, IMG_3",
        "2 caption files have the name of no photograph or video: IMG-2.txt (near IMG_2), licence.txt",
        "2 images have no control image: IMG_2, IMG_3",
        "2 control images have the name of no photograph or video: IMG_3_mask.png (near IMG_3), else.png",
    )
    assert report.to_json()["near"] == ["IMG-2.txt: IMG_2", "IMG_3_mask.png: IMG_3"]
    assert report.to_json()["names"]["without_control"] == ["IMG_2", "IMG_3"]


def test_a_blank_caption_is_no_caption(tmp_path: Path) -> None:
    draw(tmp_path / "set/a.png"), draw(tmp_path / "set/b.png")
    write(tmp_path / "set/a.txt", "\ufeff \r\n\t"), write(tmp_path / "set/b.txt", "me")
    dataset, report = scan_dataset(DatasetConfig(tmp_path / "set", settings=SMALL))
    assert report.without_caption == ("a",)
    assert [item["caption"] for item in report.to_json()["items"]] == [False, True]
    assert "1 caption files are blank and count as no caption: a.txt" in report.warnings()
    names = {found.what: found.names for found in dataset.found}
    assert names["blank captions"] == ("a.txt",)
    assert names["items without a caption"] == ("a",)


def test_messages_hold_the_warnings_and_json_holds_both(tmp_path: Path) -> None:
    draw(tmp_path / "set/a.png"), draw(tmp_path / "set/b.png"), draw(tmp_path / "masks/a.png", 0)
    write(tmp_path / "set/a.txt", "me")
    _, report = scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "masks", settings=SMALL))
    assert report.unmatched == ("b",)
    assert report.warnings()[0] == "1 images have no matching mask file: b"
    assert any(line.startswith("1 masks are empty") and line.endswith(": a") for line in report.warnings())
    assert set(report.warnings()) < set(report.messages())
    assert report.to_json()["messages"] == list(report.messages())
    found = {each.what: each.names for each in report.found()}
    assert found["items without a mask"] == found["items without a caption"] == ("b",)
    assert "items without a control image" not in found, "none that is 0"
