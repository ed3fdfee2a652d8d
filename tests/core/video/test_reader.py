from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import VideoError
from maskloss.core.video.reader import probe, read_frames

MakeVideo = Callable[..., Path]
# Decoded colours of a lossy codec, in steps of 255.
NEAR = 12


def grey_steps(count: int, size: tuple[int, int] = (64, 48), step: int = 10) -> list[np.ndarray]:
    """Frames by whose grey the number can be read: number · step."""
    return [np.full((size[1], size[0], 3), number * step % 256, np.uint8) for number in range(count)]


def noise(count: int, size: tuple[int, int] = (64, 48)) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (size[1], size[0], 3), np.uint8) for _ in range(count)]


def quarters(width: int = 96, height: int = 64) -> np.ndarray:
    """Red, green, blue, grey from the top left, row by row."""
    picture_HWC = np.zeros((height, width, 3), np.uint8)
    picture_HWC[: height // 2, : width // 2] = (220, 0, 0)
    picture_HWC[: height // 2, width // 2 :] = (0, 220, 0)
    picture_HWC[height // 2 :, : width // 2] = (0, 0, 220)
    picture_HWC[height // 2 :, width // 2 :] = (128, 128, 128)
    return picture_HWC


def colours(rgb_HWC: np.ndarray) -> list[str]:
    """The colours of the four quarters from the top left, row by row."""
    height, width = rgb_HWC.shape[:2]
    found: list[str] = []
    for y in (height // 4, height * 3 // 4):
        for x in (width // 4, width * 3 // 4):
            red, green, blue = (int(value) for value in rgb_HWC[y, x])
            strongest = max((red, "red"), (green, "green"), (blue, "blue"))
            found.append(strongest[1] if strongest[0] - min(red, green, blue) > 60 else "grey")
    return found


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"bf": "3"}),
        ("a.mkv", "libx264", {}),
        ("a.mov", "mpeg4", {"bf": "2"}),
        ("a.avi", "mpeg4", {}),
        ("a.webm", "libvpx-vp9", {"lag-in-frames": "8"}),
        ("a.mpg", "mpeg2video", {}),
    ],
)
def test_frames_are_counted_and_come_in_display_order(
    tmp_path: Path, make_video: MakeVideo, name: str, codec: str, options: dict[str, str]
) -> None:
    path = make_video(tmp_path / name, grey_steps(25), fps=25, codec=codec, options=options)
    info = probe(path)
    assert (info.size, info.frames, info.note) == ((64, 48), 25, "")
    assert info.fps == pytest.approx(25, rel=0.05)  # MPEG programme streams stamp tiny frames loosely
    assert info.duration == pytest.approx(1, rel=0.05)
    frames = list(read_frames(path))
    assert [number for number, _ in frames] == list(range(25))
    for number, rgb_HWC in frames:
        assert rgb_HWC.dtype == np.uint8
        assert abs(float(rgb_HWC.mean()) - number * 10) < NEAR


def test_only_wanted_frames_come_also_from_the_middle_of_a_long_video(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "long.mp4", grey_steps(120, step=2), options={"g": "20", "bf": "2"})
    wanted = [67, 68, 90, 119]
    frames = list(read_frames(path, wanted))
    assert [number for number, _ in frames] == wanted
    for number, rgb_HWC in frames:
        assert abs(float(rgb_HWC.mean()) - number * 2) < 3
    assert [number for number, _ in read_frames(path, [5, 5, 9])] == [5, 9]
    assert list(read_frames(path, [])) == []


def test_a_frame_that_is_not_there_is_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "short.mp4", grey_steps(5))
    with pytest.raises(VideoError, match=r"short\.mp4 has the frames 0 to 4; 3 to 5 were asked"):
        list(read_frames(path, [3, 5]))


@pytest.mark.parametrize(
    ("rotation", "size", "expected"),
    [
        (0, (96, 64), ["red", "green", "blue", "grey"]),
        (90, (64, 96), ["green", "grey", "red", "blue"]),
        (180, (96, 64), ["grey", "blue", "green", "red"]),
        (270, (64, 96), ["blue", "red", "grey", "green"]),
    ],
)
def test_rotation_is_applied_once(
    tmp_path: Path, make_video: MakeVideo, rotation: int, size: tuple[int, int], expected: list[str]
) -> None:
    path = make_video(tmp_path / "turned.mp4", [quarters()] * 3, rotation=rotation)
    assert probe(path).size == size
    for _, rgb_HWC in read_frames(path):
        assert (rgb_HWC.shape[1], rgb_HWC.shape[0]) == size
        assert colours(rgb_HWC) == expected


def test_mirroring_is_applied(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "turned.mp4", [quarters()] * 3, rotation=180)
    whole = path.read_bytes()
    turned = np.array([-1, 0, 0, -1], ">i4") * 65536
    # The movie's header has a matrix too, the identity; the track's is the one that turns.
    stored = turned[:2].tobytes() + bytes(4) + turned[2:].tobytes()
    assert whole.count(stored) == 1
    mirrored = np.array([-1, 0, 0, 1], ">i4") * 65536
    path.write_bytes(whole.replace(stored, mirrored[:2].tobytes() + bytes(4) + mirrored[2:].tobytes()))
    (_, rgb_HWC), *_ = read_frames(path)
    assert colours(rgb_HWC) == ["green", "red", "grey", "blue"]


def test_pixels_that_are_not_square_are_stretched_to_what_is_seen(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "dv.mp4", [quarters()] * 3, aspect=Fraction(4, 3))
    assert probe(path).size == (128, 64)
    assert next(read_frames(path))[1].shape == (64, 128, 3)


def test_odd_sizes_are_kept(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "odd.mp4", grey_steps(3, (63, 47)), pix_fmt="yuv444p")
    assert probe(path).size == (63, 47)
    assert next(read_frames(path))[1].shape == (47, 63, 3)


def test_damage_in_the_middle_is_an_error_that_names_the_frame(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "bad.avi", noise(40), codec="mpeg4", options={"g": "5"})
    whole = bytearray(path.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 400] = bytes((number * 37) % 256 for number in range(400))
    path.write_bytes(whole)
    assert probe(path).frames == 40
    with pytest.raises(VideoError, match=r"frame \d+ of 40 \(\d\.\d\d s\) of .*bad\.avi cannot be decoded.*encode it"):
        list(read_frames(path))
    assert [number for number, _ in read_frames(path, [0, 1, 2])] == [0, 1, 2]


def test_memory_does_not_grow_with_the_video(tmp_path: Path, make_video: MakeVideo) -> None:
    def peak(count: int) -> int:
        path = make_video(tmp_path / f"{count}.mp4", grey_steps(count, (320, 240), 1), options={"preset": "ultrafast"})
        probe(path)
        tracemalloc.start()
        for _ in read_frames(path):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    one_frame = 320 * 240 * 3
    assert peak(200) < peak(20) + 2 * one_frame < 10 * one_frame
