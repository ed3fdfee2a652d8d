"""What videos give: their clips under some settings, and what has to be said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..first_names import first_names
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


def clips_line(videos: Mapping[str, FoundVideo]) -> list[str]:
    """How many clips videos give, in one sentence; nothing where there are no videos."""
    lengths = [length for video in videos.values() for length in video.clips]
    return [f"{len(videos)} videos give {len(lengths)} clips of {sum(lengths)} frames."] if videos else []


def about_videos(videos: Mapping[str, FoundVideo], target_fps: float, alpha_mask: bool) -> list[str]:
    """What of a dataset's videos is perhaps not meant so, one sentence each."""
    if not videos:
        return []
    lines: list[str] = []
    if gone := [name for name, video in videos.items() if not video.clips]:
        lines.append(f"{len(gone)} videos give no clip and are left out: {first_names(gone)}")
    if short := [name for name, video in videos.items() if video.clips and video.missing]:
        lines.append(f"{len(short)} videos are too short for some of target_frames: {first_names(short)}")
    if slow := [name for name, video in videos.items() if video.slower]:
        lines.append(
            f"{len(slow)} videos have fewer than {target_fps:g} frames per second; theirs are taken as they are and "
            f"run faster: {first_names(slow)}"
        )
    if alpha_mask:
        lines.append(f"alpha_mask does not act on the {len(videos)} videos; they use mask files.")
    return lines + [f"{name}: {video.note}" for name, video in videos.items() if video.note]
