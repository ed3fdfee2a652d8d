"""The same work on every item of a dataset: several photographs at once, then the videos one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

from ..dataset.items import DatasetItem
from ..errors import SettingError
from ..images import image_size
from ..model_runs import name_picture_in_errors
from ..progress import SILENT, Progress, check_interrupted, set_interrupt_check
from ..spread import Spread
from ..video.reader import probe
from ..workers import MAX_PIXELS, Budget, map_in_order, worker_count

Row = TypeVar("Row")

# Of a video every n-th frame is looked at, unless told otherwise.
VIDEO_EVERY = 4


@dataclass(frozen=True, eq=False)
class ItemWork:
    """How a dataset is worked on: of a video every n-th frame is looked at, and `workers` photographs are in work at a
    time, None for as many as the cores and models allow; the results are the same for any number. With `spread` other
    processes do the work, each on one item at a time."""

    video_every: int = VIDEO_EVERY
    workers: int | None = None
    progress: Progress = SILENT
    spread: Spread | None = None

    def worker_count(self, *models: object) -> int:
        """How many threads work with `models`."""
        if self.spread is not None:
            return 1
        return worker_count(*models) if self.workers is None else self.workers


DEFAULT_WORK = ItemWork()


class Advance:
    """How far a dataset is, counted in photographs and in those frames of videos that are worked on."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total = progress, total
        self._text = ""
        self.done = 0

    def __call__(self, units: int, text: str = "") -> None:
        """`units` more are finished, and `text` comes next. May raise the host's interrupt."""
        self.done += units
        self._text = text
        self.check()

    def check(self) -> None:
        """Say again how far it is, for the sake of the host's interrupt, which may be raised."""
        self._progress.update(self.done, self._total, self._text)


def each_item(
    items: Sequence[DatasetItem],
    photograph: Callable[[DatasetItem], Row],
    video: Callable[[DatasetItem, Advance], Row],
    video_every: int,
    workers: int,
    progress: Progress,
) -> list[Row]:
    """One row per item, in their order: `photograph` in `workers` threads, then `video` in the calling one.

    Large photographs are worked on by fewer threads, so that no more than MAX_PIXELS are in memory at once.

    A video may advance by one for each of its `segmented_frames`; what is left is made up when it returns. The work may
    be interrupted at every `check_interrupted` in it. SettingError when `video_every` is below 1.
    """
    if video_every < 1:
        raise SettingError(f"video_every must be at least 1 frame, got {video_every}.")
    photographs = [item for item in items if not item.is_video]
    videos = [item for item in items if item.is_video]
    ends = list(
        accumulate(
            (len(segmented_frames(probe(item.media_path).frames, video_every)) for item in videos),
            initial=len(photographs),
        )
    )
    names = [item.name for item in (*photographs, *videos)] + [""]
    advance = Advance(progress, ends[-1])
    advance(0, names[0])
    rows: dict[str, Row] = {}
    pixels = Budget(MAX_PIXELS)

    def run_bounded(item: DatasetItem) -> Row:
        width, height = image_size(item.media_path)
        with pixels.reserve(width * height), name_picture_in_errors(item.name):
            check_interrupted()
            return photograph(item)

    with set_interrupt_check(advance.check):
        with closing(map_in_order(run_bounded, photographs, workers)) as results:
            for item, row in zip(photographs, results, strict=True):
                rows[item.name] = row
                advance(1, names[len(rows)])
        for item, end in zip(videos, ends[1:], strict=True):
            with name_picture_in_errors(item.name):
                rows[item.name] = video(item, advance)
            advance(end - advance.done, names[len(rows)])
    return [rows[item.name] for item in items]


def segmented_frames(frames: int, every: int) -> list[int]:
    """The frames that are looked at: every n-th, and the last one, so that what lies between always has two."""
    chosen = list(range(0, frames, every))
    return chosen if chosen[-1] == frames - 1 else [*chosen, frames - 1]
