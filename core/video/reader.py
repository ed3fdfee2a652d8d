"""Videos in: what a file holds, and its frames one at a time, upright, as 8-bit RGB or as masks.

A frame's number is its place in display order, from 0, found by its timestamp, so that files of variable frame rate and
files read from their middle number their frames alike. Rotation, mirroring and pixels that are not square are applied
once, here. Times are seconds from the first frame; sizes are (width, height). `_HWC` pixel grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from ..errors import VideoError
from ..mask_readings import StoredMask
from .colour import frame_mask, frame_rgb
from .frame_index import FrameIndex, VideoInfo, index_of
from .opened_video import decode_with_alpha, frame_turn, opened_video

VIDEO_SUFFIXES = frozenset((
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".mts", ".m2ts", ".ts", ".3gp",
    ".3g2", ".ogv", ".vob", ".mxf", ".asf",
))  # fmt: skip


def probe(path: Path) -> VideoInfo:
    """Count a video's frames and read its size, decoding no more than its ends.

    VideoError naming the file when it is missing, no video, without a video stream or without a frame.
    """
    return index_of(path).info


def frame_times(path: Path) -> tuple[float, ...]:
    """The display time of each frame in seconds from the first. VideoError as `probe`."""
    return index_of(path).info.times


def read_frames(path: Path, wanted: Sequence[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame number, rgb_HWC uint8 upright) in display order, one frame in memory at a time.

    `wanted`: ascending frame numbers, each yielded once; None for every frame. Others are decoded where the codec needs
    them, and not converted. VideoError naming file and frame where one is not there or damaged.
    """
    index = index_of(path)
    for number, frame in _read_wanted(path, index, wanted):
        yield number, _upright(frame_rgb(frame, index.stored, index.info.transfer), frame)


def read_stored_frames(path: Path, wanted: Sequence[int] | None = None) -> Iterator[tuple[int, StoredMask]]:
    """As `read_frames`, of a mask video: what each frame holds, with its alpha and at its depth."""
    index = index_of(path)
    for number, frame in _read_wanted(path, index, wanted, with_alpha=True):
        stored = frame_mask(frame, index.stored, index.codec)
        alpha_HW = None if stored.alpha_HW is None else _upright(stored.alpha_HW, frame)
        yield number, replace(stored, pixels=_upright(stored.pixels, frame), alpha_HW=alpha_HW)


def _read_wanted(
    path: Path, index: FrameIndex, wanted: Sequence[int] | None, with_alpha: bool = False
) -> Iterator[tuple[int, VideoFrame]]:
    numbers = list(range(index.info.frames)) if wanted is None else list(dict.fromkeys(wanted))
    if numbers and (numbers != sorted(numbers) or numbers[0] < 0 or numbers[-1] >= index.info.frames):
        raise VideoError(
            f"{path} has the frames 0 to {index.info.frames - 1}; {numbers[0]} to {numbers[-1]} were asked."
        )
    waiting = iter(numbers)
    following = next(waiting, None)
    if following is None:
        return
    for number, frame in _from(path, index, numbers[0], numbers[-1], with_alpha):
        if number < following:
            continue
        if number > following:
            raise _damage_error(path, following, index)
        yield number, frame
        following = next(waiting, None)
        if following is None:
            return
    raise _damage_error(path, following, index)


def _damage_error(path: Path, number: int, index: FrameIndex) -> VideoError:
    return VideoError(
        f"frame {number} of {index.info.frames} ({index.info.times[number]:.2f} s) of {path} cannot be decoded, the "
        "file is damaged there; encode it again from its source, or take it out."
    )


def _from(path: Path, index: FrameIndex, first: int, last: int, with_alpha: bool) -> Iterator[tuple[int, VideoFrame]]:
    """Frames from `first` or a little before on; from the beginning where the file cannot be entered there."""
    if first > 0 and index.stamps is not None:
        frames = _decode_frames(path, index, index.stamps[first], last, with_alpha)
        try:
            entered = next((found for found in frames if found[0] >= first), None)
        except VideoError:
            entered = None  # frames right behind an entry may lean on those before it
        if entered is not None and entered[0] == first:
            yield entered
            yield from frames
            return
    yield from _decode_frames(path, index, None, last, with_alpha)


def _decode_frames(
    path: Path, index: FrameIndex, seek_to: int | None, last: int, with_alpha: bool
) -> Iterator[tuple[int, VideoFrame]]:
    counted = 0
    with opened_video(path) as (container, stream):
        stream.codec_context.options = {"err_detect": "explode"}
        stream.thread_type = "AUTO"
        decode = decode_with_alpha(path, stream) if with_alpha else None
        if seek_to is not None:
            container.seek(seek_to, stream=stream)
        for packet in container.demux(stream):
            if packet.is_corrupt and packet.size:
                continue
            try:
                frames = packet.decode() if decode is None else decode(packet)
            except FFmpegError as error:
                number = index.numbers.get(packet.pts)
                # What comes after is built on the damaged frame; behind the last one wanted it does not matter.
                if number is not None and number <= last:
                    raise _damage_error(path, number, index) from error
                continue
            for frame in frames:
                number = counted if index.stamps is None else index.numbers.get(frame.pts)
                counted += 1
                if number is not None:
                    yield number, frame


def _upright(pixels: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """Pixels (H,W) or (H,W,C) of a frame, turned as its display matrix says."""
    transposed, flip_x, flip_y = frame_turn(frame)
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1])
