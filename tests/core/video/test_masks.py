from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import ImageError, InternalError, VideoError
from maskloss.core.video.frame_index import VideoInfo
from maskloss.core.video.masks import MaskVideoWriter, check_mask_frames, numbered_pictures, read_mask_frames
from maskloss.core.video.reader import frame_times, probe
from PIL import Image

MakeVideo = Callable[..., Path]


def steady(count: int, fps: float = 16, size: tuple[int, int] = (64, 48)) -> VideoInfo:
    return VideoInfo(size, tuple(number / fps for number in range(count)), fps)


def flat(value: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0]), value, np.uint8)


def write_masks(path: Path, values: list[int], times: tuple[float, ...]) -> Path:
    with MaskVideoWriter(path, (64, 48), times) as writer:
        for value in values:
            writer.add(flat(value))
    return path


def read_values(path: Path, info: VideoInfo, wanted: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number, mask_HW in read_mask_frames(path, info, wanted):
        assert mask_HW.shape == (48, 64)
        assert mask_HW.dtype == np.uint8
        assert mask_HW.min() == mask_HW.max()
        found.append((number, int(mask_HW[0, 0])))
    return found


def test_a_mask_video_comes_back_bit_for_bit_with_its_times(tmp_path: Path) -> None:
    times = (0.0, 0.04, 0.5, 0.533, 1.2)
    generator = np.random.default_rng(0)
    masks = [generator.integers(0, 256, (47, 63), np.uint8) for _ in times]
    with MaskVideoWriter(tmp_path / "deep" / "a.mkv", (63, 47), times) as writer:
        for mask_HW in masks:
            writer.add(mask_HW)
    path = tmp_path / "deep" / "a.mkv"
    assert frame_times(path) == pytest.approx(times, abs=0.0005)
    info = VideoInfo((63, 47), times, 4)
    for (number, mask_HW), expected in zip(read_mask_frames(path, info, range(5)), masks, strict=True):
        assert (mask_HW == expected).all(), number
    assert [file.name for file in path.parent.iterdir()] == ["a.mkv"]


def test_the_same_masks_are_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_masks(tmp_path / f"{name}.mkv", [0, 50, 255], (0.0, 0.04, 0.5)) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert write_masks(tmp_path / "c.mkv", [0, 51, 255], (0.0, 0.04, 0.5)).read_bytes() != first.read_bytes()


def test_nothing_is_left_of_a_mask_video_that_was_broken_off(tmp_path: Path) -> None:
    write_masks(tmp_path / "a.mkv", [7], (0.0,))
    before = (tmp_path / "a.mkv").read_bytes()
    with pytest.raises(InternalError), MaskVideoWriter(tmp_path / "a.mkv", (64, 48), (0.0, 0.1)) as writer:
        writer.add(flat(1, (8, 8)))
    with pytest.raises(InternalError, match="1 masks for 2 frames"):
        write_masks(tmp_path / "b.mkv", [1], (0.0, 0.1))
    assert [file.name for file in tmp_path.iterdir()] == ["a.mkv"]
    assert (tmp_path / "a.mkv").read_bytes() == before


def test_masks_of_another_kind_are_not_added(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"ends in \.mkv, not a\.mp4"):
        MaskVideoWriter(tmp_path / "a.mp4", (64, 48), (0.0,))
    for wrong in (flat(1, (48, 64)), flat(1).astype(np.float32)):
        with pytest.raises(InternalError), MaskVideoWriter(tmp_path / "a.mkv", (64, 48), (0.0,)) as writer:
            writer.add(wrong)
    with pytest.raises(InternalError, match="one more"):
        write_masks(tmp_path / "a.mkv", [1, 1], (0.0,))


def test_one_picture_stands_for_every_frame(tmp_path: Path) -> None:
    Image.fromarray(flat(90)).save(tmp_path / "a.png")
    assert read_values(tmp_path / "a.png", steady(20), [0, 7, 19]) == [(0, 90), (7, 90), (19, 90)]
    assert check_mask_frames(tmp_path / "a.png", steady(20)) == (64, 48)


def test_pictures_of_a_folder_are_taken_by_their_numbers(tmp_path: Path) -> None:
    for number in range(12):
        Image.fromarray(flat(number * 20)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    assert [path.stem for path in numbered_pictures(tmp_path)][-3:] == ["frame9", "frame10", "frame11"]
    assert read_values(tmp_path, steady(12), [2, 10, 11]) == [(2, 40), (10, 200), (11, 220)]
    assert check_mask_frames(tmp_path, steady(12)) == (64, 48)
    with pytest.raises(VideoError, match=r"holds 12 pictures and its video has 13 frames"):
        check_mask_frames(tmp_path, steady(13))


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="holds no pictures"):
        list(read_mask_frames(tmp_path, steady(1), [0]))


def test_a_mask_video_of_as_many_frames_goes_by_number(tmp_path: Path) -> None:
    path = write_masks(tmp_path / "a.mkv", [0, 50, 100, 150], steady(4, 2).times)
    # At another rate: the number decides.
    assert read_values(path, steady(4, 30), [1, 3]) == [(1, 50), (3, 150)]


def test_a_mask_video_of_another_rate_goes_by_time(tmp_path: Path) -> None:
    path = write_masks(tmp_path / "a.mkv", [0, 50, 100, 150], steady(4, 4).times)
    wanted = list(range(16))
    assert read_values(path, steady(16, 16), wanted) == [(number, number // 4 * 50) for number in wanted]
    assert check_mask_frames(path, steady(16, 16)) == (64, 48)


def test_a_mask_video_of_another_length_is_refused(tmp_path: Path) -> None:
    path = write_masks(tmp_path / "a.mkv", [0, 50, 100, 150], steady(4, 4).times)
    with pytest.raises(VideoError, match=r"has 4 frames in 1\.00 s and its video 20 in 1\.25 s; give as many frames"):
        check_mask_frames(path, steady(20, 16))
    assert read_values(path, steady(33, 32), [32]) == [(32, 150)]  # 3 % longer


def test_lossy_mask_videos_of_other_programs_are_read(tmp_path: Path, make_video: MakeVideo) -> None:
    frames = [np.full((48, 64, 3), value, np.uint8) for value in (0, 128, 255)]
    path = make_video(tmp_path / "a.mp4", frames)
    values = read_values(path, steady(3), [0, 1, 2])
    assert [value for _, value in values] == pytest.approx([0, 128, 255], abs=4)
    assert probe(path).frames == 3


def test_damaged_masks_name_their_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("no picture")
    with pytest.raises(ImageError, match=r"a\.png"):
        list(read_mask_frames(tmp_path / "a.png", steady(3), [0]))
    (tmp_path / "a.mkv").write_text("no video")
    with pytest.raises(VideoError, match=r"a\.mkv"):
        check_mask_frames(tmp_path / "a.mkv", steady(3))
