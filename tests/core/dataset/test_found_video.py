"""What a video gives under some settings, and why it gives nothing."""

from maskloss.core.dataset.found_video import look_at_video
from maskloss.core.video.clips import VideoSettings
from maskloss.core.video.colour import Transfer
from maskloss.core.video.frame_index import VideoInfo


def video(frames: int, fps: float = 16.0, note: str = "", transfer: Transfer = Transfer.SDR) -> VideoInfo:
    return VideoInfo((64, 48), tuple(number / fps for number in range(frames)), fps, note, transfer)


def test_clips_are_those_of_the_settings() -> None:
    found = look_at_video(video(30), VideoSettings(target_frames=(1, 9, 33)))
    assert (found.frames, found.clips, found.missing, found.slower) == (30, (1, 9), (33,), False)
    assert found.why_none == ""


def test_a_video_too_short_for_all_says_why() -> None:
    found = look_at_video(video(4), VideoSettings(target_frames=(9, 17)))
    assert found.clips == ()
    assert found.why_none == "it has 4 frames, too few for target_frames 9, 17"


def test_half_the_frames_are_left_at_half_the_rate() -> None:
    info = video(32, fps=32.0)
    assert look_at_video(info, VideoSettings(target_frames=(17,))).missing == (17,), "16 frames at 16 per second"
    assert look_at_video(info, VideoSettings(target_frames=(17,), target_fps=32.0)).clips == (17,)


def test_what_has_to_be_said_of_it_is_kept() -> None:
    found = look_at_video(video(9, 8.0, "2 frames cannot be decoded", Transfer.PQ), VideoSettings(target_frames=(5,)))
    assert (found.slower, found.note, found.transfer) == (True, "2 frames cannot be decoded", Transfer.PQ)
    faster = VideoSettings(target_frames=(5,), source_fps=16.0)
    assert not look_at_video(video(9, 8.0), faster).slower, "the rate is told"
