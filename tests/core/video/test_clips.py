from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from maskloss.core.errors import SettingError
from maskloss.core.video.clips import (
    Clip,
    FrameExtraction,
    VideoSettings,
    clips_of,
    is_slower,
    parse_target_frames,
    resample_times,
    too_long,
)


def steady(count: int, fps: float) -> tuple[float, ...]:
    return tuple(number / fps for number in range(count))


def cuts(count: int, **settings: object) -> list[tuple[int, int]]:
    """(position, length) of the clips of a video of `count` frames at the target rate."""
    found = clips_of(steady(count, 16), VideoSettings(**settings))  # type: ignore[arg-type]
    for clip in found:
        assert clip.frames == tuple(range(clip.position, clip.position + len(clip.frames)))
    return [(clip.position, len(clip.frames)) for clip in found]


def theirs(count: int, source_fps: float, target_fps: float) -> list[int]:
    """musubi-tuner's rule in whole numbers: a frame is dropped whose number at the target rate is the last one's."""
    kept, last = [], -1
    for number in range(count):
        at_target = number * round(target_fps * 100) // round(source_fps * 100)
        if at_target != last:
            kept.append(number)
            last = at_target
    return kept


def test_head_takes_the_beginning_once_per_length() -> None:
    assert cuts(40, target_frames=(1, 13, 25)) == [(0, 1), (0, 13), (0, 25)]


def test_lengths_are_rounded_down_to_4k_plus_1_and_taken_once() -> None:
    assert VideoSettings((25, 12, 27, 4, 9)).lengths == (1, 9, 25)
    assert cuts(40, target_frames=(45, 44, 28)) == [(0, 25)]


def test_a_video_that_is_too_short_gives_no_clip_and_that_is_told() -> None:
    settings = VideoSettings((1, 25, 45))
    assert [len(clip.frames) for clip in clips_of(steady(30, 16), settings)] == [1, 25]
    assert too_long(steady(30, 16), settings) == (45,)
    assert too_long(steady(60, 32), settings) == (45,)
    assert too_long(steady(30, 16), VideoSettings((45,), FrameExtraction.FULL)) == ()


def test_chunk_cuts_end_to_end() -> None:
    assert cuts(40, target_frames=(13, 25), extraction=FrameExtraction.CHUNK) == [(0, 13), (13, 13), (26, 13), (0, 25)]
    assert cuts(39, target_frames=(13,), extraction=FrameExtraction.CHUNK) == [(0, 13), (13, 13), (26, 13)]


def test_slide_begins_every_stride() -> None:
    assert cuts(40, target_frames=(25,), extraction=FrameExtraction.SLIDE, frame_stride=10) == [(0, 25), (10, 25)]
    assert len(cuts(40, target_frames=(25,), extraction=FrameExtraction.SLIDE)) == 16


def test_uniform_spreads_its_samples_and_takes_each_once() -> None:
    settings = {"extraction": FrameExtraction.UNIFORM, "frame_sample": 4}
    expected = [(int(start), 25) for start in np.linspace(0, 15, 4, dtype=int)]
    assert cuts(40, target_frames=(25,), **settings) == expected == [(0, 25), (5, 25), (10, 25), (15, 25)]
    assert cuts(26, target_frames=(25,), **settings) == [(0, 25), (1, 25)]
    assert cuts(40, target_frames=(25,), extraction=FrameExtraction.UNIFORM) == [(0, 25)]


def test_full_takes_all_up_to_max_frames_as_4k_plus_1() -> None:
    assert cuts(40, extraction=FrameExtraction.FULL) == [(0, 37)]
    assert cuts(40, extraction=FrameExtraction.FULL, max_frames=31) == [(0, 29)]
    assert cuts(3, extraction=FrameExtraction.FULL) == [(0, 1)]


@pytest.mark.parametrize(
    ("source", "target"), [(30, 16), (29.97, 16), (25, 16), (24, 16), (60, 24), (50, 16), (32, 16)]
)
def test_a_faster_video_loses_the_frames_that_musubi_drops(source: float, target: float) -> None:
    assert list(resample_times(steady(100, source), target)) == theirs(100, source, target)


@pytest.mark.parametrize(("source", "target"), [(30, 16), (30, 24), (50, 16), (25, 16)])
def test_times_that_are_rounded_to_milliseconds_change_nothing(source: float, target: float) -> None:
    rounded = tuple(round(time, 3) for time in steady(200, source))
    assert resample_times(rounded, target) == resample_times(steady(200, source), target)


def test_a_steady_video_that_is_no_faster_keeps_every_frame_once() -> None:
    for fps in (8, 12, 16, 15.98, 16.02):
        assert resample_times(steady(20, fps), 16) == tuple(range(20))
    assert is_slower(steady(20, 12), 16)
    assert not is_slower(steady(20, 16), 16)
    assert not is_slower(steady(20, 30), 16)
    assert resample_times(steady(20, 30), 0) == tuple(range(20))
    assert not is_slower(steady(20, 12), 0)


def test_a_variable_rate_is_resampled_by_time() -> None:
    # A burst of 32 frames per second, a still of half a second, a burst again.
    times = (0, 1 / 32, 2 / 32, 3 / 32, 4 / 32, 5 / 32, 0.625, 0.625 + 1 / 32, 0.6875)
    assert resample_times(times, 16) == (0, 2, 4, 5, 5, 5, 5, 5, 5, 5, 6, 8)
    assert not is_slower(times, 16)


def test_a_clip_names_source_frames_and_ends_its_name_as_musubi_does() -> None:
    clips = clips_of(steady(60, 32), VideoSettings((5,), FrameExtraction.CHUNK))
    assert clips[1] == Clip(5, (10, 12, 14, 16, 18))
    assert clips[1].suffix == "00005-005"


def test_a_source_rate_stands_in_for_what_the_file_says() -> None:
    settings = VideoSettings((5,), target_fps=16, source_fps=32)
    assert clips_of(steady(20, 16), settings) == (Clip(0, (0, 2, 4, 6, 8)),)
    assert too_long(steady(8, 16), settings) == (5,)


def summed_by_musubi(count: int, source_fps: float, target_fps: float) -> list[int]:
    """load_video of musubi-tuner, line for line."""
    frame_index_delta = target_fps / source_fps
    video = []
    frame_index_with_fraction = 0.0
    previous_frame_index = -1
    for i in range(count):
        target_frame_index = int(frame_index_with_fraction)
        frame_index_with_fraction += frame_index_delta
        if target_frame_index == previous_frame_index:
            continue
        previous_frame_index = target_frame_index
        video.append(i)
    return video


@given(
    st.integers(1, 500),
    st.one_of(st.sampled_from([24, 25, 30, 48, 60, 23.976, 29.97, 30000 / 1001]), st.floats(1, 240)),
    st.sampled_from([16.0, 24.0, 30.0]),
)
@example(200, 30, 16.0)
def test_with_a_source_rate_the_frames_are_musubis_to_the_last_rounding(
    count: int, source: float, target: float
) -> None:
    settings = VideoSettings(extraction=FrameExtraction.HEAD, target_fps=target, source_fps=source)
    assert list(settings.frames_of(steady(count, 16))) == summed_by_musubi(count, source, target)


def test_target_frames_are_read_from_text() -> None:
    assert parse_target_frames(" 1, 25;45\n") == (1, 25, 45)
    for wrong in ("", "a", "1.5", "0", "-4", "1, x"):
        with pytest.raises(SettingError, match="write frame counts such as 1 or 1, 25, 45"):
            parse_target_frames(wrong)


def test_one_frame_is_a_clip() -> None:
    assert clips_of((0.0,), VideoSettings()) == (Clip(0, (0,)),)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"target_frames": ()}, r"target_frames is \[\]"),
        ({"target_frames": (0, 5)}, r"target_frames is \[0, 5\]; give frame counts above 0"),
        ({"frame_stride": 0}, "frame_stride is 0; it must be at least 1"),
        ({"frame_sample": 0}, "frame_sample is 0"),
        ({"max_frames": 0}, "max_frames is 0"),
        ({"target_fps": -1.0}, "target_fps is -1.0; give frames per second, or 0"),
        ({"target_fps": float("nan")}, "target_fps is nan"),
        ({"source_fps": -1.0}, "source_fps is -1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        VideoSettings(**setting)  # type: ignore[arg-type]
