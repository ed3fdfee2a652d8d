"""What was painted on frames of a video, and what of it is carried on to the frames behind them.

A correction counts on the frames behind its own, moved with what it lies on (`core/video/follow_regions`), until the
next frame that was painted, until what it lies on is lost from sight, or for `MOST_FRAMES` frames.

How things move is found once and kept in a hidden file beside the corrections; without that file it is found again.
`_HW` a frame's pixel grid, `_23` an affine map of it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..corrections.frames import frame_path, frames_in
from ..corrections.override import Correction, read_correction, revision_of
from ..errors import ImageError, UserError
from ..files import read_text, write_json
from ..video.follow_regions import VERSION, follow_regions, move, regions_of
from ..video.reader import probe, read_frames
from .files import status_of

MOST_FRAMES = 240
RULE = f"{VERSION} {MOST_FRAMES}"
MOTION_FILE = ".motion.json"
_CARRIED = "~"
_REMEMBERED = 8
_finding = threading.Lock()

Moves = Sequence[Sequence[np.ndarray | None]]
"""Of each frame behind a painted one, in their order: how each of its regions has moved, None where it is lost."""


@dataclass(frozen=True)
class Span:
    """Frames `first` to `last` have what was painted on frame `source`, moved."""

    source: int
    first: int
    last: int


class VideoCorrection:
    """The corrections of one video as they are now, for any number of threads."""

    def __init__(self, folder: Path, moves: Mapping[int, Moves]) -> None:
        self._folder, self._moves = folder, moves
        self._opened: tuple[int, Correction, list[np.ndarray]] | None = None

    @property
    def painted(self) -> tuple[int, ...]:
        """The frames that somebody painted on, ascending."""
        return tuple(self._moves)

    @property
    def spans(self) -> tuple[Span, ...]:
        """What is carried, ascending."""
        return tuple(Span(source, source + 1, source + len(moves)) for source, moves in self._moves.items() if moves)

    def source_of(self, frame: int) -> int | None:
        """The frame whose paint counts on `frame`: itself, or an earlier one; None where the mask counts as it is."""
        source = max((each for each in self._moves if each <= frame), default=None)
        return source if source is not None and frame - source <= len(self._moves[source]) else None

    def revision_at(self, frame: int) -> str:
        """What tells this state of a frame from every other one; empty where nothing is painted or carried there."""
        source = self.source_of(frame)
        if source is None:
            return ""
        revision = revision_of(frame_path(self._folder, source))
        return revision if source == frame else f"{_CARRIED}{source}{_CARRIED}{revision}"

    def at(self, frame: int) -> Correction | None:
        """The correction of a frame, painted or carried. ImageError where its file is damaged."""
        source = self.source_of(frame)
        if source is None:
            return None
        opened = self._opened
        if opened is None or opened[0] != source:
            painted = read_correction(frame_path(self._folder, source))
            opened = self._opened = (source, painted, regions_of(painted.painted_HW))
        _, painted, regions = opened
        if source == frame:
            return painted
        values_HW = np.zeros_like(painted.values_HW)
        painted_HW = np.zeros_like(painted.painted_HW)
        for region_HW, moved_23 in zip(regions, self._moves[source][frame - source - 1], strict=True):
            if moved_23 is None:
                continue
            there_HW = move(region_HW.astype(np.uint8), moved_23) > 0
            values_HW[there_HW] = move(painted.values_HW, moved_23)[there_HW]
            painted_HW |= there_HW
        return Correction(values_HW, painted_HW, painted.over)


def open_corrections(folder: Path, video: Path) -> VideoCorrection:
    """The corrections of a video's frames in `folder`, carried on. What moves how is found now where that is not known
    yet: the video is decoded from each painted frame that is new. ImageError and VideoError where a file cannot be
    read or does not fit."""
    if not folder.is_dir():
        return VideoCorrection(folder, {})
    with _finding:
        return _open(folder, video, status_of(folder), status_of(video))


@lru_cache(maxsize=_REMEMBERED)
def _open(folder: Path, video: Path, _status: object, video_status: tuple[int, int]) -> VideoCorrection:
    painted, info = frames_in(folder), probe(video)
    beyond = [frame for frame in painted if frame >= info.frames]
    if beyond:
        raise ImageError(
            f"{frame_path(folder, beyond[0])} is a correction of frame {beyond[0]}, and {video} has {info.frames}: it "
            "is another video's; revert it (`maskloss corrections revert`)."
        )
    key = [RULE, *video_status]
    known = _read_moves(folder / MOTION_FILE, key)
    moves: dict[int, Moves] = {}
    kept: dict[str, Any] = {}
    for frame, following in zip(painted, (*painted[1:], info.frames), strict=True):
        last = min(following, frame + MOST_FRAMES + 1) - 1
        own = [revision_of(frame_path(folder, frame)), last]
        noted: Any = known.get(str(frame))
        if noted is None or noted["of"] != own:
            noted = {"of": own, "moves": _find_moves(folder, video, frame, last, info.size)}
        kept[str(frame)] = noted
        moves[frame] = [[_as_map(each) for each in now] for now in noted["moves"]]
    if kept != known and painted:
        write_json(folder / MOTION_FILE, {"key": key, "frames": kept})
    return VideoCorrection(folder, moves)


def _find_moves(
    folder: Path, video: Path, frame: int, last: int, size: tuple[int, int]
) -> list[list[list[float] | None]]:
    """As `Moves`, six numbers each."""
    painted = read_correction(frame_path(folder, frame))
    if painted.size != size:
        raise ImageError(
            f"The correction {frame_path(folder, frame)} is {painted.size[0]}x{painted.size[1]} and {video} "
            f"{size[0]}x{size[1]}: it is another video's; revert it (`maskloss corrections revert`)."
        )
    regions = regions_of(painted.painted_HW)
    if not regions or last == frame:
        return []
    frames = (rgb_HWC for _, rgb_HWC in read_frames(video, range(frame, last + 1)))
    return [
        [None if each is None else [round(float(number), 5) for number in each.ravel()] for each in now]
        for now in follow_regions(regions, frames)
    ]


def _as_map(numbers: Sequence[float] | None) -> np.ndarray | None:
    return None if numbers is None else np.array(numbers, np.float64).reshape(2, 3)


def _read_moves(path: Path, key: list[Any]) -> Mapping[str, Any]:
    """What was found before of the same video; nothing where the file is missing or damaged."""
    try:
        stored = json.loads(read_text(path))
        if stored["key"] != key:
            return {}
        frames = stored["frames"]
        return frames if all("of" in each and "moves" in each for each in frames.values()) else {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, UserError):
        return {}
