"""A video's corrections on disk: a file for each painted frame, one by one reverted, put elsewhere as they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.frames import frame_path, frames_in, notes_of, paths_of, state_of
from maskloss.core.corrections.override import NO_REVISION, Correction, PaintedOver, read_correction, write_correction
from maskloss.core.corrections.store import CorrectionStore, Patch, StaleRevisionError
from maskloss.core.errors import DatasetError, ImageError

OVER = PaintedOver("video", "base", "/clips/a.mp4")
SIZE = (12, 8)


def patch(value: int, painted: bool = True) -> Patch:
    return Patch(0, 0, np.full((8, 12), value, np.uint8), np.full((8, 12), painted))


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return tmp_path / "clips/a.mp4"


def test_each_frame_has_its_own(store: CorrectionStore, video: Path) -> None:
    assert (store.find(video), frames_in(store.frames_of(video))) == (None, ())
    first = store.paint_frame(video, 12, SIZE, patch(255), OVER, NO_REVISION)
    store.paint_frame(video, 3, SIZE, patch(80), OVER, NO_REVISION)
    folder = store.find(video)
    assert folder == store.frames_of(video)
    assert frames_in(folder) == (3, 12)
    assert [read_correction(path).values_HW[0, 0] for path in paths_of(folder)] == [80, 255]
    assert set(notes_of(folder)) == {OVER}
    with pytest.raises(StaleRevisionError):
        store.paint_frame(video, 12, SIZE, patch(0), OVER, NO_REVISION)
    with pytest.raises(StaleRevisionError):
        store.revert_frame(video, 3, first)
    with pytest.raises(ImageError, match="does not lie inside"):
        store.paint_frame(video, 5, (4, 4), patch(0), OVER, NO_REVISION)
    (kept,) = store.kept_frames()
    assert (kept.video, kept.frames, list(store.kept())) == (Path("/clips/a.mp4"), (3, 12), [])


def test_the_state_of_all_follows_every_frame(store: CorrectionStore, video: Path) -> None:
    folder = store.frames_of(video)
    states = [state_of(folder)]
    first = store.paint_frame(video, 1, SIZE, patch(255), OVER, NO_REVISION)
    states.append(state_of(folder))
    store.paint_frame(video, 4, SIZE, patch(255), OVER, NO_REVISION)
    states.append(state_of(folder))
    store.paint_frame(video, 1, SIZE, patch(80), OVER, first)
    states.append(state_of(folder))
    assert len(set(states)) == 4
    folder.mkdir(exist_ok=True)
    (folder / ".motion.json").write_text("{}")
    assert state_of(folder) == states[-1]
    photograph = video.with_suffix(".png")
    assert store.paint(photograph, SIZE, patch(1), OVER, NO_REVISION) == state_of(store.path_of(photograph))


def test_a_frame_without_paint_stays_behind_a_painted_one_and_nowhere_else(store: CorrectionStore, video: Path) -> None:
    first = store.paint_frame(video, 5, SIZE, patch(255), OVER, NO_REVISION)
    assert store.paint_frame(video, 2, SIZE, patch(0, painted=False), OVER, NO_REVISION) == NO_REVISION
    assert store.paint_frame(video, 7, SIZE, patch(0, painted=False), OVER, NO_REVISION) != NO_REVISION
    assert frames_in(store.frames_of(video)) == (5, 7)
    store.revert_frame(video, 7)
    (store.frames_of(video) / ".motion.json").write_text("{}")
    assert store.paint_frame(video, 5, SIZE, patch(0, painted=False), OVER, first) == NO_REVISION
    assert not store.frames_of(video).exists()


def test_they_are_reverted_one_by_one_or_all(store: CorrectionStore, video: Path) -> None:
    assert not store.revert_frame(video, 3)
    for frame in (3, 9):
        store.paint_frame(video, frame, SIZE, patch(255), OVER, NO_REVISION)
    assert not store.revert_frame(video, 4)
    assert store.revert_frame(video, 3)
    assert frames_in(store.frames_of(video)) == (9,)
    assert store.revert(video)
    assert not store.revert(video)
    assert (store.find(video), list(store.kept_frames())) == (None, [])
    store.paint_frame(video, 3, SIZE, patch(255), OVER, NO_REVISION)
    assert store.revert_frame(video, 3)
    assert not store.frames_of(video).exists()


def test_they_are_put_as_a_whole(store: CorrectionStore, video: Path) -> None:
    correction = Correction(np.full((8, 12), 80, np.uint8), np.ones((8, 12), bool), OVER)
    folder = store.put_frames(video, {4: correction, 6: correction})
    assert frames_in(folder) == (4, 6)
    with pytest.raises(DatasetError, match=r"a\.mp4 has corrections already"):
        store.put_frames(video, {5: correction})
    store.put_frames(video, {5: correction}, replace_existing=True)
    assert frames_in(folder) == (5,)


def test_files_of_others_are_no_frames(tmp_path: Path) -> None:
    for name in ("5.png", "000005.jpg", ".000006.png", "frame000007.png"):
        (tmp_path / name).write_bytes(b"")
    assert frames_in(tmp_path) == ()
    assert state_of(tmp_path) == NO_REVISION
    correction = Correction(np.zeros((8, 12), np.uint8), np.ones((8, 12), bool))
    write_correction(frame_path(tmp_path, 1_000_000), correction)
    write_correction(frame_path(tmp_path, 8), replace(correction, over=OVER))
    assert frames_in(tmp_path) == (8, 1_000_000)
    assert notes_of(tmp_path) == [OVER]
