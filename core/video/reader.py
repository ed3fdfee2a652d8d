"""Videos in: what a file holds, and its frames one at a time, upright, as 8-bit RGB or as masks.

A frame's number is its place in display order, from 0, found by its timestamp, so that files of variable frame rate and
files read from their middle number their frames alike. Rotation, mirroring and pixels that are not square are applied
once, here. Times are seconds from the first frame; sizes are (width, height). `_HWC` pixel grid.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import VideoError
from ..mask_meaning import StoredMask
from .colour import Transfer, frame_mask, frame_rgb, transfer_of

VIDEO_SUFFIXES = frozenset((
    ".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".mts", ".m2ts", ".ts", ".3gp",
    ".3g2", ".ogv", ".vob", ".mxf", ".asf",
))  # fmt: skip

Size = tuple[int, int]

# Containers that say the length of each packet before it, so that one which is cut off is never handed out.
_NO_HALF_PACKETS = ("matroska", "webm")
_REMEMBERED_FILES = 64


@dataclass(frozen=True)
class VideoInfo:
    """What a file holds. `size` is upright, `times` are its frames', `fps` their mean rate; `note` is a sentence about
    frames at its ends that cannot be decoded, which are not counted, or empty. `bits` are of one channel."""

    size: Size
    times: tuple[float, ...]
    fps: float
    note: str = ""
    transfer: Transfer = Transfer.SDR
    bits: int = 8

    @property
    def conversion(self) -> str:
        """What is done to its pixels beside the usual; empty for 8-bit SDR."""
        if self.transfer is not Transfer.SDR:
            return f"{self.transfer.value}, reference white"
        return "planar" if self.bits > 8 else ""

    @property
    def frames(self) -> int:
        """How many frames can be read."""
        return len(self.times)

    @property
    def duration(self) -> float:
        """Seconds, the last frame's own time among them."""
        return self.frames / self.fps


@dataclass(frozen=True)
class _Index:
    """Where the frames are. `codec` decodes them. `stamps` are their timestamps in the stream's unit, ascending;
    None where the file has no usable ones, and frames are then counted as they come. `stored` is the frames' size
    before they are turned."""

    info: VideoInfo
    codec: str
    stored: Size
    stamps: tuple[int, ...] | None
    numbers: Mapping[int | None, int]


@dataclass(frozen=True)
class _Head:
    """The first frame: its timestamp, its size as stored (with square pixels) and upright; and of the stream its unit
    in s, its rate, its codec, and what its pixels are."""

    stamp: int | None
    stored: Size
    upright: Size
    unit: float
    rate: float
    codec: str
    transfer: Transfer
    bits: int


@dataclass(frozen=True)
class _Packets:
    """What demuxing alone tells: timestamps of the whole packets, how many are half, how many the header promises."""

    stamps: tuple[int | None, ...]
    halves: int
    promised: int


def probe(path: Path) -> VideoInfo:
    """Count a video's frames and read its size, decoding no more than its ends.

    VideoError naming the file when it is missing, no video, without a video stream or without a frame.
    """
    return _index(path).info


def frame_times(path: Path) -> tuple[float, ...]:
    """The display time of each frame in seconds from the first. VideoError as `probe`."""
    return _index(path).info.times


def read_frames(path: Path, wanted: Sequence[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame number, rgb_HWC uint8 upright) in display order, one frame in memory at a time.

    `wanted`: ascending frame numbers, each yielded once; None for every frame. Others are decoded where the codec needs
    them, and not converted. VideoError naming file and frame where one is not there or damaged.
    """
    index = _index(path)
    for number, frame in _wanted(path, index, wanted):
        yield number, _upright(frame_rgb(frame, index.stored, index.info.transfer), frame)


def read_stored_frames(path: Path, wanted: Sequence[int] | None = None) -> Iterator[tuple[int, StoredMask]]:
    """As `read_frames`, of a mask video: what each frame holds, with its alpha and at its depth."""
    index = _index(path)
    for number, frame in _wanted(path, index, wanted):
        stored = frame_mask(frame, index.stored, index.codec)
        alpha_HW = None if stored.alpha_HW is None else _upright(stored.alpha_HW, frame)
        yield number, replace(stored, pixels=_upright(stored.pixels, frame), alpha_HW=alpha_HW)


def _wanted(path: Path, index: _Index, wanted: Sequence[int] | None) -> Iterator[tuple[int, VideoFrame]]:
    numbers = list(range(index.info.frames)) if wanted is None else list(dict.fromkeys(wanted))
    if numbers and (numbers != sorted(numbers) or numbers[0] < 0 or numbers[-1] >= index.info.frames):
        raise VideoError(
            f"{path} has the frames 0 to {index.info.frames - 1}; {numbers[0]} to {numbers[-1]} were asked."
        )
    waiting = iter(numbers)
    following = next(waiting, None)
    if following is None:
        return
    for number, frame in _from(path, index, numbers[0], numbers[-1]):
        if number < following:
            continue
        if number > following:
            raise _damaged(path, following, index)
        yield number, frame
        following = next(waiting, None)
        if following is None:
            return
    raise _damaged(path, following, index)


def _damaged(path: Path, number: int, index: _Index) -> VideoError:
    return VideoError(
        f"frame {number} of {index.info.frames} ({index.info.times[number]:.2f} s) of {path} cannot be decoded, the "
        "file is damaged there; encode it again from its source, or take it out."
    )


def _from(path: Path, index: _Index, first: int, last: int) -> Iterator[tuple[int, VideoFrame]]:
    """Frames from `first` or a little before on; from the beginning where the file cannot be entered there."""
    if first > 0 and index.stamps is not None:
        frames = _decoded(path, index, index.stamps[first], last)
        try:
            entered = next((found for found in frames if found[0] >= first), None)
        except VideoError:
            entered = None  # frames right behind an entry may lean on those before it
        if entered is not None and entered[0] == first:
            yield entered
            yield from frames
            return
    yield from _decoded(path, index, None, last)


def _decoded(path: Path, index: _Index, seek_to: int | None, last: int) -> Iterator[tuple[int, VideoFrame]]:
    counted = 0
    with _opened(path) as (container, stream):
        stream.codec_context.options = {"err_detect": "explode"}
        stream.thread_type = "AUTO"
        if seek_to is not None:
            container.seek(seek_to, stream=stream)
        for packet in container.demux(stream):
            if packet.is_corrupt and packet.size:
                continue
            try:
                frames = packet.decode()
            except FFmpegError as error:
                number = index.numbers.get(packet.pts)
                # What comes after is built on the damaged frame; behind the last one wanted it does not matter.
                if number is not None and number <= last:
                    raise _damaged(path, number, index) from error
                continue
            for frame in frames:
                number = counted if index.stamps is None else index.numbers.get(frame.pts)
                counted += 1
                if number is not None:
                    yield number, frame


def _upright(pixels: np.ndarray, frame: VideoFrame) -> np.ndarray:
    """Pixels (H,W) or (H,W,C) of a frame, turned as its display matrix says."""
    transposed, flip_x, flip_y = _turn(frame)
    if transposed:
        pixels = pixels.swapaxes(0, 1)
    return np.ascontiguousarray(pixels[:: -1 if flip_y else 1, :: -1 if flip_x else 1])


def _turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """Whether the frame is to be transposed, then mirrored in x, then in y, by its display matrix.

    The matrix maps (x, y) to (a·x + c·y, b·x + d·y) and is stored as a, b, u, c, d, v, … in 16.16 fixed point.
    """
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return False, False, False
    a, b, _, c, d = struct.unpack("<5i", bytes(data)[:20])
    if abs(a) + abs(d) >= abs(b) + abs(c):
        return False, a < 0, d < 0
    return True, c < 0, b < 0


def _index(path: Path) -> _Index:
    try:
        status = path.stat()
    except OSError as error:
        raise VideoError(f"there is no video file {path} ({error.strerror})") from error
    return _indexed(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_REMEMBERED_FILES)
def _indexed(path: Path, size: int, mtime_ns: int) -> _Index:
    packets = _packets(path)
    head = _first_frame(path)
    if not packets.stamps or head is None:
        raise VideoError(f"{path} holds no frame that can be decoded; replace the file or take it out.")
    first, rate = head.stamp, head.rate
    known = [stamp for stamp in packets.stamps if stamp is not None]
    if len(known) < len(packets.stamps) or len(set(known)) < len(known) or first is None:
        count = len(_decoded_stamps(path, None))
        lost = _lost(packets, 0, max(0, len(packets.stamps) - count))
        times = tuple(number / rate for number in range(count))
        info = VideoInfo(head.upright, times, rate, lost, head.transfer, head.bits)
        return _Index(info, head.codec, head.stored, None, {})
    stamps = sorted(known)
    # A file that was cut out of a longer one may begin with frames that lean on what was before.
    late = sum(stamp < first for stamp in stamps)
    stamps = stamps[late:]
    missing = _missing_at_end(path, packets, stamps)
    stamps = stamps[: len(stamps) - missing]
    times = tuple((stamp - stamps[0]) * head.unit for stamp in stamps)
    fps = (len(times) - 1) / times[-1] if len(times) > 1 else rate
    info = VideoInfo(head.upright, times, fps, _lost(packets, late, missing), head.transfer, head.bits)
    return _Index(info, head.codec, head.stored, tuple(stamps), {stamp: number for number, stamp in enumerate(stamps)})


def _packets(path: Path) -> _Packets:
    stamps: list[int | None] = []
    halves = 0
    with _opened(path) as (container, stream):
        try:
            for packet in container.demux(stream):
                if packet.is_corrupt and packet.size:
                    halves += 1
                elif packet.size and not packet.is_discard:
                    stamps.append(packet.pts)
        except FFmpegError:
            halves += 1  # the file ends within a packet; those before it are whole
        while len(stamps) > 1 and stamps[-1] is None and stamps[0] is not None:
            stamps.pop()  # half of one, in a container that does not say so
            halves += 1
        return _Packets(tuple(stamps), halves, stream.frames)


def _first_frame(path: Path) -> _Head | None:
    with _opened(path) as (container, stream):
        for frame in _tolerant(container, stream):
            aspect = stream.sample_aspect_ratio
            stored = (max(1, round(frame.width * aspect)) if aspect else frame.width, frame.height)
            upright = (stored[1], stored[0]) if _turn(frame)[0] else stored
            rate = stream.average_rate or stream.guessed_rate or 25
            return _Head(
                frame.pts,
                stored,
                upright,
                float(stream.time_base or 1),
                float(rate),
                stream.codec_context.name,
                transfer_of(int(stream.codec_context.color_trc)),
                frame.format.components[0].bits,
            )
    return None


def _missing_at_end(path: Path, packets: _Packets, stamps: Sequence[int]) -> int:
    """How many of the last frames have packets but cannot be decoded, looked at where the file may be cut off."""
    with _opened(path) as (container, _):
        whole = packets.promised == len(packets.stamps) and not packets.halves
        if whole or any(name in container.format.name for name in _NO_HALF_PACKETS):
            return 0
    # Programme streams and their like may not be entered near the end.
    decoded = set(_decoded_stamps(path, stamps[-1])) & set(stamps) or set(_decoded_stamps(path, None))
    missing = 0
    while missing < len(stamps) - 1 and stamps[-1 - missing] not in decoded:
        missing += 1
    return missing


def _decoded_stamps(path: Path, seek_to: int | None) -> list[int | None]:
    """Timestamps of the frames that decode without an error, as they come; None for frames that have none."""
    with _opened(path) as (container, stream):
        stream.codec_context.options = {"err_detect": "explode"}
        if seek_to is not None:
            container.seek(seek_to, stream=stream)
        broken: set[int | None] = set()
        found = [frame.pts for frame in _tolerant(container, stream, broken)]
    return [stamp for stamp in found if stamp is None or stamp not in broken]


def _tolerant(
    container: InputContainer, stream: VideoStream, broken: set[int | None] | None = None
) -> Iterator[VideoFrame]:
    """Every frame that comes; timestamps of packets that do not decode are added to `broken`."""
    stream.thread_type = "AUTO"
    for packet in container.demux(stream):
        if packet.is_corrupt and packet.size:
            continue
        try:
            frames = packet.decode()
        except FFmpegError:
            if broken is not None:
                broken.add(packet.pts)
            continue
        yield from frames


def _lost(packets: _Packets, late: int, missing: int) -> str:
    counted = len(packets.stamps) - late - missing
    lost: list[str] = []
    if late:
        lost.append(f"its first {late} frames cannot be decoded")
    if packets.promised > len(packets.stamps) or packets.halves or missing:
        of = f" of {packets.promised}" if packets.promised > counted else ""
        lost.append(f"its end is cut off or damaged: {counted}{of} frames can be read")
    return "; ".join(lost)


@contextmanager
def _opened(path: Path) -> Generator[tuple[InputContainer, VideoStream]]:
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise VideoError(f"{path} has no video stream; replace the file or take it out.")
            yield container, stream
    except FFmpegError as error:
        raise VideoError(f"cannot read {path} as a video ({error.strerror}); replace it or take it out.") from error
