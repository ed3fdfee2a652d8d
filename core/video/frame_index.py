"""Which frames a video file has that can be read, when each is shown, and what its pixels are: found by demuxing it and
decoding its ends, and remembered as long as the file stays as it is.

Times are seconds from the first frame; sizes are (width, height).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from av.error import FFmpegError

from ..errors import VideoError
from .colour import Transfer, goes_through_planes, transfer_of
from .opened_video import decodable_frames, frame_turn, opened_video

Size = tuple[int, int]

# Containers that say the length of each packet before it, so that one which is cut off is never handed out.
_NO_HALF_PACKETS = ("matroska", "webm")
_REMEMBERED_FILES = 64


@dataclass(frozen=True)
class VideoInfo:
    """What a file holds. `size` is upright, `times` are its frames', `fps` their mean rate; `note` is a sentence about
    frames at its ends that cannot be decoded, which are not counted, or empty. `planar`: they go through planar RGB."""

    size: Size
    times: tuple[float, ...]
    fps: float
    note: str = ""
    transfer: Transfer = Transfer.SDR
    planar: bool = False

    @property
    def conversion(self) -> str:
        """What is done to its pixels beside the usual; empty for most of 8-bit SDR."""
        if self.transfer is not Transfer.SDR:
            return f"{self.transfer.value}, reference white"
        return "planar" if self.planar else ""

    @property
    def frames(self) -> int:
        """How many frames can be read."""
        return len(self.times)

    @property
    def duration(self) -> float:
        """Seconds, the last frame's own time among them."""
        return self.frames / self.fps


@dataclass(frozen=True)
class FrameIndex:
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
    planar: bool


@dataclass(frozen=True)
class _Packets:
    """What demuxing alone tells: timestamps of the whole packets, how many are half, how many the header promises."""

    stamps: tuple[int | None, ...]
    halves: int
    promised: int


def index_of(path: Path) -> FrameIndex:
    """The index of the file as it is now. VideoError naming it when it is missing, no video, or without a frame."""
    try:
        status = path.stat()
    except OSError as error:
        raise VideoError(f"there is no video file {path} ({error.strerror})") from error
    return _index_frames(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_REMEMBERED_FILES)
def _index_frames(path: Path, size: int, mtime_ns: int) -> FrameIndex:
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
        info = VideoInfo(head.upright, times, rate, lost, head.transfer, head.planar)
        return FrameIndex(info, head.codec, head.stored, None, {})
    stamps = sorted(known)
    # A file that was cut out of a longer one may begin with frames that lean on what was before.
    late = sum(stamp < first for stamp in stamps)
    stamps = stamps[late:]
    missing = _missing_at_end(path, packets, stamps)
    stamps = stamps[: len(stamps) - missing]
    times = tuple((stamp - stamps[0]) * head.unit for stamp in stamps)
    fps = (len(times) - 1) / times[-1] if len(times) > 1 else rate
    info = VideoInfo(head.upright, times, fps, _lost(packets, late, missing), head.transfer, head.planar)
    numbers: dict[int | None, int] = {stamp: number for number, stamp in enumerate(stamps)}
    return FrameIndex(info, head.codec, head.stored, tuple(stamps), numbers)


def _packets(path: Path) -> _Packets:
    stamps: list[int | None] = []
    halves = 0
    with opened_video(path) as (container, stream):
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
    with opened_video(path) as (container, stream):
        for frame in decodable_frames(container, stream):
            aspect = stream.sample_aspect_ratio
            stored = (max(1, round(frame.width * aspect)) if aspect else frame.width, frame.height)
            upright = (stored[1], stored[0]) if frame_turn(frame)[0] else stored
            rate = stream.average_rate or stream.guessed_rate or 25
            return _Head(
                frame.pts,
                stored,
                upright,
                float(stream.time_base or 1),
                float(rate),
                stream.codec_context.name,
                transfer_of(int(stream.codec_context.color_trc)),
                goes_through_planes(frame, stored),
            )
    return None


def _missing_at_end(path: Path, packets: _Packets, stamps: Sequence[int]) -> int:
    """How many of the last frames have packets but cannot be decoded, looked at where the file may be cut off."""
    with opened_video(path) as (container, _):
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
    with opened_video(path) as (container, stream):
        stream.codec_context.options = {"err_detect": "explode"}
        if seek_to is not None:
            container.seek(seek_to, stream=stream)
        broken: set[int | None] = set()
        found = [frame.pts for frame in decodable_frames(container, stream, broken)]
    return [stamp for stamp in found if stamp is None or stamp not in broken]


def _lost(packets: _Packets, late: int, missing: int) -> str:
    counted = len(packets.stamps) - late - missing
    lost: list[str] = []
    if late:
        lost.append(f"its first {late} frames cannot be decoded")
    if packets.promised > len(packets.stamps) or packets.halves or missing:
        of = f" of {packets.promised}" if packets.promised > counted else ""
        lost.append(f"its end is cut off or damaged: {counted}{of} frames can be read")
    return "; ".join(lost)
