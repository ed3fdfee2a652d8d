"""A correction of one frame counts on those behind it, moved with what it lies on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.frames import frame_path
from maskloss.core.corrections.override import NO_REVISION, PaintedOver, revision_of
from maskloss.core.corrections.store import CorrectionStore, Patch
from maskloss.core.dataset.files import hash_of, status_of
from maskloss.core.dataset.video_corrections import MOTION_FILE, Span, open_corrections
from maskloss.core.errors import ImageError
from maskloss.core.video import follow_regions

from tests.moving_clip import SIZE, SQUARE, frames, pattern, place, square

Make = Callable[..., Path]
OVER = PaintedOver("video")


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections")


@pytest.fixture
def video(tmp_path: Path, make_video: Make) -> Path:
    return make_video(tmp_path / "clips/a.mkv", frames(20), codec="ffv1", pix_fmt="yuv444p")


def paint(store: CorrectionStore, video: Path, frame: int, value: int = 80) -> None:
    """On the square, where it is in that frame."""
    patch = Patch(*place(frame), np.full((SQUARE, SQUARE), value, np.uint8), np.ones((SQUARE, SQUARE), bool))
    path = frame_path(store.frames_of(video), frame)
    store.paint_frame(video, frame, SIZE, patch, OVER, revision_of(path))


def shared(one_HW: np.ndarray, other_HW: np.ndarray) -> float:
    return np.count_nonzero(one_HW & other_HW) / np.count_nonzero(one_HW | other_HW)


def test_what_was_painted_moves_along_until_the_next_painted_frame(store: CorrectionStore, video: Path) -> None:
    paint(store, video, 4)
    paint(store, video, 12, 255)
    opened = open_corrections(store.frames_of(video), video)
    assert opened.painted == (4, 12)
    assert opened.spans == (Span(4, 5, 11), Span(12, 13, 19))
    assert [opened.source_of(frame) for frame in (3, 4, 5, 11, 12, 19)] == [None, 4, 4, 4, 12, 12]
    assert (opened.at(3), opened.revision_at(3)) == (None, "")
    for frame in (4, 7, 11, 12, 15, 19):
        correction = opened.at(frame)
        assert correction is not None
        assert shared(correction.painted_HW, square(frame)) > (0.99 if frame in (4, 12) else 0.9)
        assert set(correction.values_HW[correction.painted_HW]) == {80 if frame < 12 else 255}
    revisions = [opened.revision_at(frame) for frame in (4, 5, 12, 13)]
    assert len(set(revisions)) == 4
    assert revisions[1].startswith("~4~")


def test_a_frame_without_paint_ends_it(store: CorrectionStore, video: Path) -> None:
    paint(store, video, 4)
    nothing = Patch(0, 0, np.zeros(SIZE[::-1], np.uint8), np.zeros(SIZE[::-1], bool))
    store.paint_frame(video, 9, SIZE, nothing, OVER, NO_REVISION)
    opened = open_corrections(store.frames_of(video), video)
    assert opened.spans == (Span(4, 5, 8),)
    assert opened.painted == (4, 9)
    last = opened.at(9)
    assert last is not None
    assert not last.painted_HW.any()
    assert opened.at(10) is None


def test_a_cut_ends_it(store: CorrectionStore, tmp_path: Path, make_video: Make) -> None:
    clip = [*frames(6), *[pattern(SIZE, 9)] * 4]
    video = make_video(tmp_path / "clips/cut.mkv", clip, codec="ffv1", pix_fmt="yuv444p")
    paint(store, video, 2)
    assert open_corrections(store.frames_of(video), video).spans == (Span(2, 3, 5),)


def test_how_things_move_is_found_once(
    store: CorrectionStore, video: Path, monkeypatch: pytest.MonkeyPatch, next_tick: Callable[[], None]
) -> None:
    followed: list[int] = []

    def counted(regions, clip):
        followed.append(len(regions))
        yield from follow_regions.follow_regions(regions, clip)

    monkeypatch.setattr("maskloss.core.dataset.video_corrections.follow_regions", counted)
    paint(store, video, 4)
    folder = store.frames_of(video)
    first = open_corrections(folder, video)
    assert (len(followed), (folder / MOTION_FILE).is_file()) == (1, True)
    digest = hash_of(folder)
    for _ in range(2):
        assert open_corrections(folder, video).spans == first.spans
    assert len(followed) == 1
    paint(store, video, 12)
    open_corrections(folder, video)
    assert len(followed) == 3, "the way from frame 4 ends earlier now, and frame 12 is new"
    paint(store, video, 12, 255)
    open_corrections(folder, video)
    assert len(followed) == 4, "the way from frame 4 is known"
    with_motion = hash_of(folder)
    (folder / MOTION_FILE).write_text("[1, 2")
    again = open_corrections(folder, video)
    assert (again.spans, hash_of(folder)) == ((Span(4, 5, 11), Span(12, 13, 19)), with_motion)
    assert digest != with_motion
    next_tick()
    video.touch()
    before = len(followed)
    open_corrections(folder, video)
    assert len(followed) == before + 2, "another file may show something else"


def test_without_any_there_is_nothing(store: CorrectionStore, video: Path) -> None:
    opened = open_corrections(store.frames_of(video), video)
    assert (opened.painted, opened.spans, opened.at(0)) == ((), (), None)


def test_corrections_of_another_video_are_refused(store: CorrectionStore, video: Path) -> None:
    paint(store, video, 4)
    folder = store.frames_of(video)
    frame_path(folder, 4).rename(frame_path(folder, 20))
    with pytest.raises(ImageError, match=r"is a correction of frame 20, and .*a\.mkv has 20"):
        open_corrections(folder, video)
    store.revert(video)
    patch = Patch(0, 0, np.zeros((4, 4), np.uint8), np.ones((4, 4), bool))
    store.paint_frame(video, 2, (4, 4), patch, OVER, NO_REVISION)
    with pytest.raises(ImageError, match=r"000002\.png is 4x4 and .* 160x96"):
        open_corrections(folder, video)
    assert status_of(folder)
