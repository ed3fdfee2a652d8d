from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.video.reader import frame_times, probe, read_frames

MakeVideo = Callable[..., Path]


def greys(count: int, size: tuple[int, int] = (64, 48), step: int = 10) -> list[np.ndarray]:
    return [np.full((size[1], size[0], 3), number * step % 256, np.uint8) for number in range(count)]


def noise(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(count)]


def test_times_of_a_variable_frame_rate_are_the_frames_own(tmp_path: Path, make_video: MakeVideo) -> None:
    times = [0, 0.04, 0.08, 0.5, 0.54, 1.2]
    path = make_video(tmp_path / "vfr.mp4", greys(6, step=40), times=times)
    assert frame_times(path) == pytest.approx(times, abs=0.001)
    assert probe(path).fps == pytest.approx(5 / 1.2, rel=0.01)


def test_a_video_that_is_written_anew_is_looked_at_anew(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4", greys(5))
    assert probe(path).frames == 5
    make_video(path, greys(9))
    assert probe(path).frames == 9


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("cut.mp4", "libx264", {"movflags": "faststart"}),
        ("cut.mkv", "libx264", {}),
        ("cut.mpg", "mpeg2video", {}),
        ("cut.avi", "mpeg4", {}),
    ],
)
def test_of_a_file_that_is_cut_off_what_is_whole_is_counted(
    tmp_path: Path, make_video: MakeVideo, name: str, codec: str, container: dict[str, str]
) -> None:
    path = make_video(tmp_path / name, noise(40), fps=25, codec=codec, container=container)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    info = probe(path)
    assert 10 < info.frames < 35
    assert [number for number, _ in read_frames(path)] == list(range(info.frames))
    if name in ("cut.mp4", "cut.avi"):  # their headers say how many there should be
        assert info.note == f"its end is cut off or damaged: {info.frames} of 40 frames can be read"
