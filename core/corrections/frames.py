"""The corrections of one video: a file for each frame that somebody painted on, in a folder of its own.

What is carried on from these to the frames behind them is not kept here; it follows from them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..fingerprints import fingerprint_of
from .override import NO_REVISION, SUFFIX, PaintedOver, note_of, revision_of

FRAMES = ".frames"
_NAME = re.compile(r"(\d{6,})" + re.escape(SUFFIX))
_DIGITS = 16


@dataclass(frozen=True)
class KeptFrames:
    """A video's corrections. `video` is where it lay, as far as is known; `frames` are those that were painted;
    `person` whose item of it was, empty where it is the video's own mask."""

    path: Path
    video: Path | None
    frames: tuple[int, ...]
    person: str = ""


def frame_path(folder: Path, frame: int) -> Path:
    """Where the correction of a frame lies, if there is one."""
    return folder / f"{frame:06}{SUFFIX}"


def frames_in(folder: Path) -> tuple[int, ...]:
    """The frames that were painted, ascending; none where there is no such folder."""
    if not folder.is_dir():
        return ()
    matches = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return tuple(sorted(int(match[1]) for match in matches if match))


def paths_of(correction: Path) -> Sequence[Path]:
    """The files of a photograph's or a video's correction."""
    return [frame_path(correction, frame) for frame in frames_in(correction)] if correction.is_dir() else [correction]


def notes_of(correction: Path) -> Sequence[PaintedOver]:
    """What a photograph's or a video's correction was painted over; nothing where other programs have written it.
    ImageError as `read_correction`."""
    return [note for path in paths_of(correction) if (note := note_of(path)) is not None]


def state_of(correction: Path) -> str:
    """What tells this state of a photograph's or a video's correction from every other one."""
    if not correction.is_dir():
        return revision_of(correction)
    frames = frames_in(correction)
    if not frames:
        return NO_REVISION
    return fingerprint_of(*((frame, revision_of(frame_path(correction, frame))) for frame in frames))[:_DIGITS]
