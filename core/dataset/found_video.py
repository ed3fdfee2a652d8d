"""What a video gives: its clips under some settings, and what has to be said of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..video.clips import VideoSettings, clips_of, is_slower, too_long
from ..video.colour import Transfer
from ..video.frame_index import VideoInfo


@dataclass(frozen=True)
class FoundVideo:
    """What a video gives. `missing` are the lengths that it is too short for; `slower`: it has fewer frames per second
    than asked; `note` tells of frames that cannot be decoded."""

    frames: int
    clips: tuple[int, ...]
    missing: tuple[int, ...]
    slower: bool
    note: str
    transfer: Transfer = Transfer.SDR

    @property
    def why_none(self) -> str:
        """Why it gives no clip, or empty."""
        if self.clips:
            return ""
        return f"it has {self.frames} frames, too few for target_frames {', '.join(map(str, self.missing))}"


def look_at_video(info: VideoInfo, settings: VideoSettings) -> FoundVideo:
    """What a video of this kind gives under these settings."""
    times = settings.times_of(info.times)
    return FoundVideo(
        frames=info.frames,
        clips=tuple(len(clip.frames) for clip in clips_of(info.times, settings)),
        missing=too_long(info.times, settings),
        slower=is_slower(times, settings.target_fps),
        note=info.note,
        transfer=info.transfer,
    )
