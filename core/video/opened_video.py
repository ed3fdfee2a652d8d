"""A video file opened with PyAV: its stream, the frames of it that decode, and how a frame is to be turned."""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
from av.codec.codec import UnknownCodecError
from av.codec.context import CodecContext
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import InternalError, VideoError

_KEEPING_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@contextmanager
def opened_video(path: Path) -> Generator[tuple[InputContainer, VideoStream]]:
    """The file and its best video stream, for a `with` block. VideoError naming the file where it cannot be read."""
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            stream = container.streams.best("video")
            if not isinstance(stream, VideoStream):
                raise VideoError(f"{path} has no video stream; replace the file or take it out.")
            yield container, stream
    except FFmpegError as error:
        raise VideoError(f"cannot read {path} as a video ({error.strerror}); replace it or take it out.") from error


def decodable_frames(
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


def decode_with_alpha(path: Path, stream: VideoStream) -> Callable[[Packet], Sequence[VideoFrame]] | None:
    """What decodes packets of VP8 and VP9 with the alpha that WebM keeps beside them, which FFmpeg's own decoders leave
    out; None where the stream has none. VideoError where this PyAV has no such decoder."""
    if stream.metadata.get("alpha_mode") != "1" or stream.codec_context.name not in _KEEPING_ALPHA:
        return None
    try:
        context = CodecContext.create(_KEEPING_ALPHA[stream.codec_context.name], "r")
    except UnknownCodecError as error:
        raise VideoError(
            f"the alpha of {path} cannot be decoded by this PyAV; save it as ProRes 4444, PNG or FFV1"
        ) from error
    if not isinstance(context, VideoCodecContext):
        raise InternalError(f"{context.name} is no video codec")
    return context.decode


def frame_turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
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
