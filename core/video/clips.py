"""Which frames of a video become clips.

The rules are musubi-tuner's, so that caches agree: positions and lengths count frames at the target rate, lengths are
4k+1 rounded down, and a video that is too short for a length gives no clip of it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

import numpy as np

from ..errors import SettingError, unhandled_choice

# Timestamps are often rounded to whole milliseconds.
_ROUNDED_S = 0.001
# 30 counts as 29.97.
_SAME_RATE = 1.002
# By how much the longest gap between frames may exceed the shortest in a video of constant frame rate.
_STEADY = 1.5


class FrameExtraction(str, Enum):
    """Where clips are taken from: the beginning, end to end, every `frame_stride` frames, `frame_sample` of them evenly
    spread, or the whole video."""

    HEAD = "head"
    CHUNK = "chunk"
    SLIDE = "slide"
    UNIFORM = "uniform"
    FULL = "full"


@dataclass(frozen=True)
class VideoSettings:
    """How a video becomes clips. Lengths and strides are in frames at `target_fps` (frames per second; 0 = every frame
    of the source). `frame_stride` acts with slide, `frame_sample` with uniform, `max_frames` with full. `source_fps`
    stands in for what the files say of their rate; 0 = what they say."""

    target_frames: tuple[int, ...] = (1,)
    extraction: FrameExtraction = FrameExtraction.HEAD
    frame_stride: int = 1
    frame_sample: int = 1
    max_frames: int = 129
    target_fps: float = 16.0
    source_fps: float = 0.0

    def __post_init__(self) -> None:
        if not self.target_frames or min(self.target_frames) < 1:
            raise SettingError(
                f"target_frames is {list(self.target_frames)}; give frame counts above 0, such as 1, 25, 45."
            )
        for name in ("frame_stride", "frame_sample", "max_frames"):
            value: int = getattr(self, name)
            if value < 1:
                raise SettingError(f"{name} is {value}; it must be at least 1.")
        for name in ("target_fps", "source_fps"):
            rate: float = getattr(self, name)
            if not 0 <= rate <= 1000:
                raise SettingError(f"{name} is {rate}; give frames per second, or 0 for the source's own.")

    @property
    def lengths(self) -> tuple[int, ...]:
        """`target_frames` as 4k+1, rounded down, ascending, each once."""
        return tuple(sorted({_round_frames(frames) for frames in self.target_frames}))

    def times_of(self, times: Sequence[float]) -> Sequence[float]:
        """When frames that are shown at `times` (s) count as shown, under `source_fps`."""
        return [number / self.source_fps for number in range(len(times))] if self.source_fps else times

    def frames_of(self, times: Sequence[float]) -> tuple[int, ...]:
        """Numbers of the frames, of those shown at `times` (s, ascending from 0), that show a video at `target_fps`."""
        if self.source_fps and self.target_fps:
            return _counted_off(len(times), self.target_fps / self.source_fps)
        return resample_times(times, self.target_fps)


@dataclass(frozen=True)
class Clip:
    """One clip. `position` counts frames at the target rate; `frames` are numbers of the source's frames, ascending,
    one of them twice where the source stands still."""

    position: int
    frames: tuple[int, ...]

    @property
    def suffix(self) -> str:
        """What the clip's name ends in after the video's."""
        return f"{self.position:05d}-{len(self.frames):03d}"


def parse_target_frames(text: str) -> tuple[int, ...]:
    """ "1, 25, 45" to (1, 25, 45). SettingError for anything else."""
    pieces = [piece for piece in re.split(r"[\s,;]+", text) if piece]
    if not pieces or not all(piece.isdecimal() and int(piece) > 0 for piece in pieces):
        raise SettingError(f"target_frames is {text!r}; write frame counts such as 1 or 1, 25, 45")
    return tuple(int(piece) for piece in pieces)


def clips_of(times: Sequence[float], settings: VideoSettings) -> tuple[Clip, ...]:
    """The clips of a video whose frames are shown at `times` (s, ascending from 0), by length, then by position."""
    frames = settings.frames_of(times)
    found = dict.fromkeys(_cuts(len(frames), settings))
    return tuple(Clip(start, frames[start : start + length]) for start, length in found)


def too_long(times: Sequence[float], settings: VideoSettings) -> tuple[int, ...]:
    """The lengths that the video is too short for, ascending."""
    if settings.extraction is FrameExtraction.FULL:
        return ()
    count = len(settings.frames_of(times))
    return tuple(length for length in settings.lengths if length > count)


def is_slower(times: Sequence[float], target_fps: float) -> bool:
    """Whether a video has steadily fewer frames per second than asked; its frames are then taken once each, as
    musubi-tuner takes them, and it runs faster than it was."""
    return _is_steady(times) and _rate(times) * _SAME_RATE < target_fps


def resample_times(times: Sequence[float], target_fps: float) -> tuple[int, ...]:
    """Numbers of the frames that show the video at `target_fps`: of each 1/fps s the first frame that begins in it,
    else the one still to be seen. A rate of 0, or one that a steady video does not exceed, leaves every frame."""
    if len(times) < 2 or target_fps == 0 or (_is_steady(times) and _rate(times) <= target_fps * _SAME_RATE):
        return tuple(range(len(times)))
    slots = int((times[-1] + _ROUNDED_S) * target_fps) + 1
    starts = [bisect_left(times, slot / target_fps - _ROUNDED_S) for slot in range(slots + 1)]
    return tuple(start if start < after else start - 1 for start, after in pairwise(starts))


def _counted_off(count: int, step: float) -> tuple[int, ...]:
    """musubi-tuner's own sum with its rounding, by which a frame that begins with its place may be the one before."""
    kept: list[int] = []
    last, at_target = -1, 0.0
    for number in range(count):
        if int(at_target) != last:
            kept.append(number)
            last = int(at_target)
        at_target += step
    return tuple(kept)


def _rate(times: Sequence[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])


def _is_steady(times: Sequence[float]) -> bool:
    gaps = [after - before for before, after in pairwise(times)]
    return bool(gaps) and max(gaps) <= _STEADY * min(gaps) + 2 * _ROUNDED_S


def _cuts(count: int, settings: VideoSettings) -> Iterator[tuple[int, int]]:
    """(position, length) of each clip of a video of `count` frames."""
    if settings.extraction is FrameExtraction.FULL:
        yield 0, _round_frames(min(count, settings.max_frames))
        return
    for length in settings.lengths:
        last = count - length
        if last < 0:
            continue
        if settings.extraction is FrameExtraction.CHUNK:
            yield from ((start, length) for start in range(0, last + 1, length))
        elif settings.extraction is FrameExtraction.SLIDE:
            yield from ((start, length) for start in range(0, last + 1, settings.frame_stride))
        elif settings.extraction is FrameExtraction.UNIFORM and settings.frame_sample > 1:
            # numpy's own rounding is theirs too.
            yield from ((int(start), length) for start in np.linspace(0, last, settings.frame_sample, dtype=int))
        elif settings.extraction is FrameExtraction.HEAD or settings.extraction is FrameExtraction.UNIFORM:
            yield 0, length
        else:
            raise unhandled_choice(settings.extraction)


def _round_frames(frames: int) -> int:
    return (frames - 1) // 4 * 4 + 1
