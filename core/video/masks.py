"""Masks of a video: one picture for all of it, a mask video, or a folder of numbered pictures; and mask videos out.

`_HW` pixel grid, uint8, 255 counts fully. Sizes are (width, height).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..errors import ImageError, InternalError, VideoError
from ..files import atomic_write
from ..images import IMAGE_SUFFIXES, image_size, read_mask
from ..mask_meaning import MaskMeaning, ReadMask, read_stored
from ..mask_readings import StoredMask
from .frame_index import VideoInfo
from .mask_drift import USUAL_TIERS, Drift, find_drift
from .reader import VIDEO_SUFFIXES, probe, read_stored_frames

Size = tuple[int, int]

_DURATION_TOLERANCE = 0.05
_REMEMBERED_FILES = 256
# Matroska's own; finer times would be rounded.
_TICK = Fraction(1, 1000)
# Else each file bears random numbers, and a mask that was made again would count as changed.
_SAME_BYTES = {"fflags": "+bitexact"}


def read_mask_frames(
    mask_path: Path,
    info: VideoInfo,
    wanted: Sequence[int],
    meaning: MaskMeaning = MaskMeaning.AUTO,
    tiers: Sequence[int] = USUAL_TIERS,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame number, mask_HW uint8) for the video's frames `wanted`. As `read_frame_masks`."""
    for number, read in read_frame_masks(mask_path, info, wanted, meaning, tiers):
        yield number, read.mask_HW


def read_frame_masks(
    mask_path: Path,
    info: VideoInfo,
    wanted: Sequence[int],
    meaning: MaskMeaning = MaskMeaning.AUTO,
    tiers: Sequence[int] = USUAL_TIERS,
) -> Iterator[tuple[int, ReadMask]]:
    """Yield (frame number, mask) for the video's frames `wanted` (ascending), each number once. Each frame is read as a
    mask file of its own, by the rule in `mask_meaning` or as `meaning` says; what grey values mean, and how the levels
    of a lossy file lie to the `tiers`, is told from its first, middle and last frame.

    A picture stands for every frame. Of a folder, the n-th numbered picture is frame n's. Of a mask video with the
    video's own number of frames likewise; with another number the mask shown at the frame's time, where both last
    equally long within 5 %. VideoError and ImageError name the file.
    """
    numbers = list(dict.fromkeys(wanted))
    if mask_path.is_dir():
        pictures = _fitting_pictures(mask_path, info)
        grey_as = _look_at_folder(pictures, _status_of(pictures), meaning)
        yield from ((number, read_mask(pictures[number], meaning, grey_as)) for number in numbers)
    elif mask_path.suffix.lower() in VIDEO_SUFFIXES:
        yield from _from_video(mask_path, _shown_at(mask_path, info, numbers), numbers, meaning, tuple(tiers))
    else:
        read = read_mask(mask_path, meaning)
        yield from ((number, read) for number in numbers)


def check_mask_frames(mask_path: Path, info: VideoInfo) -> Size:
    """(width, height) of a video's masks, from headers. VideoError when they cannot be the masks of that video."""
    if mask_path.is_dir():
        return image_size(_fitting_pictures(mask_path, info)[0])
    if mask_path.suffix.lower() in VIDEO_SUFFIXES:
        _shown_at(mask_path, info, ())
        return probe(mask_path).size
    return image_size(mask_path)


def numbered_pictures(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder, `frame9` before `frame10`. VideoError when there are none or it cannot be read."""
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise VideoError(f"the mask folder {folder} cannot be read ({error.strerror})") from error
    pictures = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    if not pictures:
        raise VideoError(f"the mask folder {folder} holds no pictures; put one mask for each frame of the video there.")
    return tuple(sorted(pictures, key=_count_frames))


class MaskVideoWriter:
    """Writes a mask video, one gray picture per frame of its video, lossless (FFV1 in Matroska), whole or not at all.

    Used as a context; what was written is dropped when it is left by an exception.
    """

    def __init__(self, path: Path, size: Size, times: Sequence[float]) -> None:
        """`times`: when each frame is shown, in s, ascending; as many masks have to be added."""
        if path.suffix.lower() != ".mkv":
            raise InternalError(f"a mask video is Matroska and ends in .mkv, not {path.name}")
        self._path, self._size, self._times = path, size, times
        self._added = 0
        self._open = ExitStack()

    def __enter__(self) -> MaskVideoWriter:
        with ExitStack() as opening:
            temporary = opening.enter_context(atomic_write(self._path))
            self._container: OutputContainer = opening.enter_context(
                av.open(str(temporary), "w", format="matroska", options=_SAME_BYTES)
            )
            rate = len(self._times) / self._times[-1] if len(self._times) > 1 else 1.0
            stream = self._container.add_stream("ffv1", rate=Fraction(rate).limit_denominator(1001))
            stream.width, stream.height, stream.pix_fmt = *self._size, "gray"
            stream.codec_context.time_base = _TICK
            self._stream: VideoStream = stream
            self._open = opening.pop_all()
        return self

    def add(self, mask_HW: np.ndarray) -> None:
        """Append the next frame's mask, uint8, of the size given at the beginning."""
        if mask_HW.dtype != np.uint8 or (mask_HW.shape[1], mask_HW.shape[0]) != self._size:
            raise InternalError(f"a mask of {self._size} uint8 was expected; found {mask_HW.shape} {mask_HW.dtype}")
        if self._added == len(self._times):
            raise InternalError(f"{self._path} has {self._added} frames, and one more mask was added")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(mask_HW), format="gray")
        frame.pts, frame.time_base = round(self._times[self._added] / _TICK), _TICK
        self._container.mux(self._stream.encode(frame))
        self._added += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            with self._open:
                if self._added != len(self._times):
                    raise InternalError(f"{self._path} got {self._added} masks for {len(self._times)} frames")
                self._container.mux(self._stream.encode(None))
        else:
            self._open.__exit__(kind, error, traceback)


def _fitting_pictures(folder: Path, info: VideoInfo) -> tuple[Path, ...]:
    pictures = numbered_pictures(folder)
    if len(pictures) != info.frames:
        raise VideoError(
            f"the mask folder {folder} holds {len(pictures)} pictures and its video has {info.frames} frames; give one "
            "for each frame, or a mask video, which is matched by time."
        )
    return pictures


def _shown_at(mask_path: Path, info: VideoInfo, numbers: Sequence[int]) -> list[int]:
    """Which frame of the mask video belongs to which frame of the video."""
    masks = probe(mask_path)
    if masks.frames == info.frames:
        return list(numbers)
    if abs(masks.duration - info.duration) > _DURATION_TOLERANCE * info.duration:
        raise VideoError(
            f"the mask video {mask_path} has {masks.frames} frames in {masks.duration:.2f} s and its video "
            f"{info.frames} in {info.duration:.2f} s; give as many frames, or the same length within 5 %."
        )
    # Half a tick, because each file has rounded its times.
    return [max(0, bisect_right(masks.times, info.times[number] + float(_TICK) / 2) - 1) for number in numbers]


def _from_video(
    mask_path: Path, shown: Sequence[int], numbers: Sequence[int], meaning: MaskMeaning, tiers: tuple[int, ...]
) -> Iterator[tuple[int, ReadMask]]:
    grey_as, drift = _look_at_video(mask_path, _status_of([mask_path]), meaning, tiers)
    frames = read_stored_frames(mask_path, shown)
    read: tuple[int, ReadMask] | None = None
    for number, needed in zip(numbers, shown, strict=True):
        if read is None or read[0] != needed:
            number_of_mask, stored = next(frames)
            mask = _read_frame(mask_path, number_of_mask, replace(stored, grey_as=grey_as), meaning)
            if drift.moves and _has_levels(mask):
                key = f"{mask.key}:{drift.key}" if mask.key else drift.key
                mask = replace(mask, mask_HW=drift.undo(mask.mask_HW), key=key)
            read = number_of_mask, replace(mask, note=drift.note)
        yield number, read[1]


@lru_cache(maxsize=_REMEMBERED_FILES)
def _look_at_video(
    mask_path: Path, _status: object, meaning: MaskMeaning, tiers: tuple[int, ...]
) -> tuple[MaskMeaning, Drift]:
    """What grey values of a mask video mean, and how its levels have drifted."""
    last = probe(mask_path).frames - 1
    stored = dict(read_stored_frames(mask_path, sorted({0, (last + 1) // 2, last})))
    grey_as = _settle_meaning(
        lambda number: _read_frame(mask_path, number, stored[number], meaning), list(stored), meaning
    )
    if not all(each.lossy for each in stored.values()):
        return grey_as, Drift()
    reads = [_read_frame(mask_path, number, replace(each, grey_as=grey_as), meaning) for number, each in stored.items()]
    levels = [read.mask_HW for read in reads if _has_levels(read)]
    return grey_as, find_drift(levels, tiers) if levels else Drift()


@lru_cache(maxsize=_REMEMBERED_FILES)
def _look_at_folder(pictures: tuple[Path, ...], _status: object, meaning: MaskMeaning) -> MaskMeaning:
    last = len(pictures) - 1
    numbers = sorted({0, (last + 1) // 2, last})
    return _settle_meaning(lambda number: read_mask(pictures[number], meaning), numbers, meaning)


def _settle_meaning(read: Callable[[int], ReadMask], numbers: Sequence[int], meaning: MaskMeaning) -> MaskMeaning:
    """What grey values mean in a sequence, of which `read` gives the pictures `numbers`: a frame in which a mask fades
    or nobody is seen would be taken for labels by itself."""
    if meaning is not MaskMeaning.AUTO:
        return MaskMeaning.AUTO
    found: set[MaskMeaning] = set()
    refused: list[ImageError] = []
    for number in numbers:
        try:
            mask = read(number)
        except ImageError as error:
            refused.append(error)
            continue
        if mask.fraction > 0:
            found.add(mask.meaning)
    if MaskMeaning.BRIGHTNESS in found:
        return MaskMeaning.BRIGHTNESS
    if refused:
        raise refused[0]
    return MaskMeaning.NONZERO if MaskMeaning.NONZERO in found else MaskMeaning.AUTO


def _has_levels(mask: ReadMask) -> bool:
    """Whether its weights follow the file's values, so that what moves these moves the weights."""
    return mask.meaning is not MaskMeaning.NONZERO


def _read_frame(mask_path: Path, number: int, stored: StoredMask, meaning: MaskMeaning) -> ReadMask:
    return read_stored(stored, meaning, f"frame {number} of {mask_path}")


def _status_of(files: Sequence[Path]) -> tuple[tuple[int, int], ...]:
    """What tells whether files have changed."""
    return tuple((status.st_size, status.st_mtime_ns) for status in (file.stat() for file in files))


def _count_frames(path: Path) -> tuple[list[tuple[int, str]], str]:
    pieces = re.split(r"(\d+)", path.stem.lower())
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in pieces], path.name
