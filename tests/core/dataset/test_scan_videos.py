"""Videos in a folder: their clips, their masks of three kinds, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import LoadSettings, MaskOrigin
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError, ImageError, VideoError
from maskloss.core.video.clips import FrameExtraction, VideoSettings

Draw = Callable[..., Path]
SMALL = (64, 48)


def frames(count: int) -> list[np.ndarray]:
    return [np.full((SMALL[1], SMALL[0], 3), number * 5 % 256, np.uint8) for number in range(count)]


def config(tmp_path: Path, masks: bool = False, alpha_mask: bool = False, **video: object) -> DatasetConfig:
    settings = LoadSettings(SMALL, alpha_mask=alpha_mask, video=VideoSettings(**video))  # type: ignore[arg-type]
    return DatasetConfig(tmp_path / "set", tmp_path / "masks" if masks else None, settings=settings)


def test_photographs_and_videos_of_one_folder(tmp_path: Path, photograph: Draw, make_video: Draw) -> None:
    photograph("set/a.jpg", SMALL)
    make_video(tmp_path / "set/b.MP4", frames(30))
    (tmp_path / "set/b.txt").write_text("a person walks")
    chunks = {"target_frames": (1, 13), "extraction": FrameExtraction.CHUNK, "target_fps": 0}
    dataset, report = scan_dataset(config(tmp_path, **chunks))
    assert [(item.name, item.is_video, item.caption) for item in dataset.items] == [
        ("a", False, ""),
        ("b", True, "a person walks"),
    ]
    told = report.to_json()
    assert told["items"] == [
        {"name": "a", "mask": "none", "caption": False, "frames": 1, "clips": 1},
        {"name": "b", "mask": "none", "caption": True, "frames": 30, "clips": 32},
    ]
    assert told["counts"] == {
        "images": 1, "videos": 1, "clips": 32, "clip_frames": 56,
        "mask_alpha": 0, "mask_file": 0, "mask_none": 2,
        "mask_read_brightness": 0, "mask_read_alpha": 0, "mask_read_colour": 0, "mask_read_nonzero": 0,
        "unused_alpha": 0, "hdr_videos": 0, "without_caption": 1, "not_read": 0,
        "unused_masks": 0, "masks_beside": 0, "converted_colours": 0, "several_frames": 0,
        "ignored_profiles": 0, "untagged_colours": 0, "without_control": 0,
    }  # fmt: skip
    assert told["buckets"] == {"64x48": 33}
    assert "1 videos give 32 clips of 56 frames." in report.messages()


def test_a_video_too_short_for_any_clip_is_left_out_and_named(tmp_path: Path, make_video: Draw) -> None:
    make_video(tmp_path / "set/long.mp4", frames(30))
    make_video(tmp_path / "set/middle.mp4", frames(14))
    make_video(tmp_path / "set/short.mp4", frames(5))
    dataset, report = scan_dataset(config(tmp_path, target_frames=(13, 25)))
    assert [item.name for item in dataset.items] == ["long", "middle"]
    (left,) = dataset.left_out
    assert (left.item.name, left.reason) == ("short", "it has 5 frames, too few for target_frames 13, 25")
    assert report.to_json()["left_out"] == ["short: it has 5 frames, too few for target_frames 13, 25"]
    assert "1 videos give no clip and are left out: short" in report.messages()
    assert "1 videos are too short for some of target_frames: middle" in report.messages()
    with pytest.raises(DatasetError, match=r"No video of .*set gives a clip \(long: it has 30 frames, too few"):
        scan_dataset(config(tmp_path, target_frames=(45,)))


def test_slow_videos_and_alpha_are_told(tmp_path: Path, make_video: Draw) -> None:
    make_video(tmp_path / "set/slow.mp4", frames(10), fps=8)
    said = scan_dataset(config(tmp_path, alpha_mask=True))[1].messages()
    assert "1 videos have fewer than 16 frames per second; theirs are taken as they are and run faster: slow" in said
    assert "alpha_mask does not act on the 1 videos; they use mask files." in said


def test_a_video_that_is_cut_off_says_so(tmp_path: Path, make_video: Draw) -> None:
    generator = np.random.default_rng(0)
    noise = [generator.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(40)]
    path = make_video(tmp_path / "set/cut.mp4", noise, container={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    (line,) = [line for line in scan_dataset(config(tmp_path))[1].messages() if line.startswith("cut: ")]
    assert "its end is cut off or damaged" in line


def test_masks_of_a_video_are_a_picture_a_video_or_a_folder(
    tmp_path: Path, photograph: Draw, mask: Draw, make_video: Draw
) -> None:
    photograph("set/photo.jpg", SMALL)
    for name in ("bare", "folder", "picture", "video"):
        make_video(tmp_path / f"set/{name}.mp4", frames(3))
    picture = mask("masks/picture.png", SMALL)
    video = make_video(tmp_path / "masks/video.mkv", frames(3))
    # A photograph has no use for a video's mask.
    make_video(tmp_path / "masks/photo.mkv", frames(3))
    for number in range(3):
        mask(f"masks/folder/{number}.png", SMALL)
    dataset, report = scan_dataset(config(tmp_path, masks=True))
    assert {item.name: item.mask_path for item in dataset.items} == {
        "bare": None, "folder": tmp_path / "masks/folder", "photo": None, "picture": picture, "video": video,
    }  # fmt: skip
    assert report.masks["folder"] is MaskOrigin.FILE
    assert "1 images have no matching mask file: photo" in report.messages()
    assert "1 videos have no matching mask file: bare" in report.messages()
    assert report.unused_masks == ("photo.mkv",)


def test_masks_below_the_videos_are_not_scanned_as_videos(tmp_path: Path, make_video: Draw) -> None:
    make_video(tmp_path / "set/a.mp4", frames(3))
    mask = make_video(tmp_path / "set/masks/a.mkv", frames(3))
    settings = LoadSettings(SMALL)
    (item,) = scan_dataset(DatasetConfig(tmp_path / "set", mask.parent, recursive=True, settings=settings))[0].items
    assert (item.name, item.mask_path) == ("a", mask)


def test_two_masks_of_one_video_are_named(tmp_path: Path, mask: Draw, make_video: Draw) -> None:
    make_video(tmp_path / "set/a.mp4", frames(3))
    mask("masks/a.png", SMALL)
    mask("masks/a/1.png", SMALL)
    with pytest.raises(DatasetError, match="Two mask files could belong to a"):
        scan_dataset(config(tmp_path, masks=True))


def test_masks_that_do_not_fit_are_refused(tmp_path: Path, mask: Draw, make_video: Draw) -> None:
    make_video(tmp_path / "set/a.mp4", frames(3))
    picture = mask("masks/a.png", (48, 48))
    with pytest.raises(ImageError, match="the mask of a is 48x48 and its image 64x48"):
        scan_dataset(config(tmp_path, masks=True))
    picture.unlink()
    mask("masks/a/1.png", SMALL)
    with pytest.raises(VideoError, match=r"holds 1 pictures and its video has 3 frames"):
        scan_dataset(config(tmp_path, masks=True))


def test_a_video_and_a_photograph_of_one_stem_are_named(tmp_path: Path, photograph: Draw, make_video: Draw) -> None:
    photograph("set/a.jpg", SMALL)
    make_video(tmp_path / "set/a.mp4", frames(3))
    with pytest.raises(DatasetError, match=r"Two files share the name a: .*a\.jpg and .*a\.mp4"):
        scan_dataset(config(tmp_path))


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.mp4").write_bytes(b"no video")
    with pytest.raises(VideoError, match=r"cannot read .*a\.mp4 as a video"):
        scan_dataset(config(tmp_path))
