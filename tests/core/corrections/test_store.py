"""Corrections on disk: stroke by stroke, two writers, a writer that is killed."""

import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.marks import ChosenFace, Marks
from maskloss.core.corrections.override import NO_REVISION, Correction, PaintedOver, read_correction, revision_of
from maskloss.core.corrections.store import (
    MARKS_FILE,
    CorrectionStore,
    Patch,
    StaleRevisionError,
    check_fits,
)
from maskloss.core.errors import DatasetError, ImageError

OVER = PaintedOver("photograph", "base", "/photos/a.jpg")
SIZE = (12, 8)


def patch(left: int, top: int, value: int, size: tuple[int, int] = (3, 2), painted: bool = True) -> Patch:
    return Patch(left, top, np.full(size[::-1], value, np.uint8), np.full(size[::-1], painted))


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections")


def test_strokes_add_up_and_the_last_one_lies_on_top(store: CorrectionStore, tmp_path: Path) -> None:
    photograph = tmp_path / "photos/a.jpg"
    assert store.find(photograph) is None
    first = store.paint(photograph, SIZE, patch(1, 1, 255), OVER, NO_REVISION)
    second = store.paint(photograph, SIZE, patch(2, 1, 80), OVER, first)
    path = store.find(photograph)
    assert path is not None
    read = read_correction(path)
    assert (read.size, read.over) == (SIZE, OVER)
    assert read.values_HW[1].tolist() == [0, 255, 80, 80, 80, 0, 0, 0, 0, 0, 0, 0]
    assert read.painted_HW.sum() == 8
    cleared = store.paint(photograph, SIZE, patch(0, 0, 0, SIZE, painted=False), OVER, second)
    assert (cleared, store.find(photograph)) == (NO_REVISION, None)


def test_each_person_of_a_photograph_has_a_correction_of_their_own_beside_the_photographs(
    store: CorrectionStore, tmp_path: Path
) -> None:
    photograph = tmp_path / "photos/party.jpg"
    store.paint(photograph, SIZE, patch(0, 0, 1), OVER, NO_REVISION)
    before = store.path_of(photograph).read_bytes()
    for value, name in enumerate(("anna", "berta b.", "together"), 2):
        store.of(name).paint(photograph, SIZE, patch(0, 0, value), OVER, NO_REVISION)
    folder = store.folder_of(photograph.parent)
    assert store.people_in(folder, "party.jpg") == ["anna", "berta b.", "together"]
    assert store.people_in(folder, "other.jpg") == []
    assert store.path_of(photograph).read_bytes() == before
    kept = [(each.person, int(read_correction(each.path).values_HW[0, 0])) for each in store.kept()]
    assert sorted(kept) == [("", 1), ("anna", 2), ("berta b.", 3), ("together", 4)]
    assert store.of("anna").revert(photograph)
    assert not store.of("anna").revert(photograph)
    assert store.of("carla").find(photograph) is None
    assert store.people_in(folder, "party.jpg") == ["berta b.", "together"]
    assert store.revert(photograph)
    assert store.of("together").find(photograph) is not None
    with pytest.raises(DatasetError, match=r"party\.jpg \(together\) has a correction already"):
        store.of("together").put(photograph, Correction(np.zeros((8, 12), np.uint8), np.ones((8, 12), bool)))


def test_each_person_of_a_video_has_frames_of_their_own(store: CorrectionStore, tmp_path: Path) -> None:
    video = tmp_path / "clips/walk.mp4"
    store.of("anna").paint_frame(video, 3, SIZE, patch(0, 0, 9), OVER, NO_REVISION)
    assert store.find(video) is None
    assert store.people_in(store.folder_of(video.parent), "walk.mp4") == ["anna"]
    assert [(each.person, each.frames, each.video) for each in store.kept_frames()] == [
        ("anna", (3,), Path("/photos/a.jpg"))
    ]
    assert not list(store.kept())
    assert store.of("anna").revert_frame(video, 3)
    assert store.of("anna").find(video) is None


def test_what_is_decided_about_one_persons_item_is_noted_with_its_photograph(
    store: CorrectionStore, tmp_path: Path
) -> None:
    photograph = tmp_path / "photos/party.jpg"
    store.mark(photograph, lambda marks: replace(marks, done=True))
    store.of("anna").mark(photograph, lambda marks: replace(marks, left_out=True))
    assert store.marks(photograph.parent)["party.jpg"].done
    assert store.of("anna").marks(photograph.parent) == {"party.jpg": Marks(left_out=True)}
    assert store.of("berta").marks(photograph.parent) == {"party.jpg": Marks()}
    ((place, marks),) = store.all_marks()
    assert (place.rpartition("/")[2], marks) == ("party.jpg", Marks(True, people=(("anna", Marks(left_out=True)),)))
    store.mark(photograph, lambda marks: replace(marks, done=False))
    assert store.of("anna").marks(photograph.parent)["party.jpg"].left_out
    store.of("anna").mark(photograph, lambda marks: replace(marks, left_out=False))
    assert store.marks(photograph.parent) == {}


def test_photographs_of_one_name_in_two_folders_have_each_their_own(store: CorrectionStore, tmp_path: Path) -> None:
    paths = [tmp_path / "one/photos/a.jpg", tmp_path / "two/photos/a.jpg", tmp_path / "two/photos/a.png"]
    for index, path in enumerate(paths):
        store.paint(path, SIZE, patch(index, 0, 9), OVER, NO_REVISION)
    assert len({store.find(path) for path in paths}) == 3
    assert store.find(tmp_path / "two/photos/b.jpg") is None


def test_who_has_not_seen_the_newest_stroke_is_told(store: CorrectionStore, tmp_path: Path) -> None:
    photograph = tmp_path / "a.jpg"
    first = store.paint(photograph, SIZE, patch(0, 0, 255), OVER, NO_REVISION)
    second = store.paint(photograph, SIZE, patch(0, 0, 80), OVER, first)
    for stale in (first, NO_REVISION):
        with pytest.raises(StaleRevisionError, match="was changed elsewhere") as caught:
            store.paint(photograph, SIZE, patch(5, 5, 1), OVER, stale)
        assert caught.value.revision == second
    with pytest.raises(StaleRevisionError):
        store.revert(photograph, first)
    assert store.revert(photograph, second)
    assert not store.revert(photograph)


@pytest.mark.parametrize(("left", "top"), [(-1, 0), (0, -1), (10, 0), (0, 7)])
def test_a_stroke_outside_the_picture_is_refused(store: CorrectionStore, tmp_path: Path, left: int, top: int) -> None:
    with pytest.raises(ImageError, match="does not lie inside 12x8"):
        store.paint(tmp_path / "a.jpg", SIZE, patch(left, top, 255), OVER, NO_REVISION)
    assert store.find(tmp_path / "a.jpg") is None


def test_looking_again_notes_the_mask_that_lies_under_it_now(store: CorrectionStore, tmp_path: Path) -> None:
    photograph = tmp_path / "a.jpg"
    first = store.paint(photograph, SIZE, patch(1, 1, 255), OVER, NO_REVISION)
    store.paint(photograph, SIZE, None, PaintedOver("photograph", "other"), first)
    read = read_correction(store.path_of(photograph))
    assert read.over == PaintedOver("photograph", "other")
    assert read.painted_HW.sum() == 6


def test_marks_are_kept_for_each_photograph(store: CorrectionStore, tmp_path: Path) -> None:
    assert store.marks(tmp_path) == {}
    store.mark(tmp_path / "a.jpg", lambda marks: replace(marks, done=True))
    store.mark(tmp_path / "b.jpg", lambda marks: replace(marks, left_out=True))
    assert store.marks(tmp_path) == {"a.jpg": Marks(True, False), "b.jpg": Marks(False, True)}
    store.mark(tmp_path / "a.jpg", lambda _: Marks())
    face = ChosenFace((0.1, 0.2, 0.5, 0.75), "sha")
    store.mark(tmp_path / "b.jpg", lambda marks: replace(marks, face=face))
    assert store.marks(tmp_path) == {"b.jpg": Marks(False, True, face)}
    assert list(store.all_marks()) == [(f"{store.folder_of(tmp_path).name}/b.jpg", Marks(False, True, face))]
    outside = '{"a": {"done": true, "left_out": true, "face": {"box": [0, 0, 2, 1], "photograph": "x"}}}'
    for damaged in ("{", "[]", '{"a": 1}', '{"a": {}}', outside):
        (store.folder_of(tmp_path) / MARKS_FILE).write_text(damaged)
        with pytest.raises(DatasetError, match="is damaged"):
            store.marks(tmp_path)


def test_what_is_kept_is_listed_with_its_photograph(store: CorrectionStore, tmp_path: Path) -> None:
    assert list(store.kept()) == []
    store.paint(tmp_path / "a.jpg", SIZE, patch(0, 0, 255, (6, 8)), OVER, NO_REVISION)
    (kept,) = store.kept()
    assert (kept.photograph, kept.fraction) == (Path("/photos/a.jpg"), 0.5)


def test_a_whole_correction_replaces_another_only_where_told(store: CorrectionStore, tmp_path: Path) -> None:
    whole = Correction(np.full((8, 12), 128, np.uint8), np.ones((8, 12), bool), OVER)
    path = store.put(tmp_path / "a.jpg", whole)
    with pytest.raises(DatasetError, match="has a correction already"):
        store.put(tmp_path / "a.jpg", whole)
    store.put(tmp_path / "a.jpg", whole, replace_existing=True)
    check_fits(path, (12, 8), tmp_path / "a.jpg")
    with pytest.raises(ImageError, match=r"12x8 and .* 8x12 upright"):
        check_fits(path, (8, 12), tmp_path / "a.jpg")


def paint_for_ever(store: CorrectionStore, photograph: Path, value: int) -> None:
    noise = np.random.default_rng(value).integers(0, 2, (900, 1200)).astype(bool)
    noise[0, 0] = True
    while True:
        whole = Patch(0, 0, np.full((900, 1200), value, np.uint8), noise)
        revision = revision_of(store.path_of(photograph))
        store.paint(photograph, (1200, 900), whole, PaintedOver("p"), revision)
        value += 1


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_writer_that_is_killed_twenty_times_leaves_the_old_correction_or_the_new_one(
    store: CorrectionStore, tmp_path: Path
) -> None:
    photograph, folder = tmp_path / "a.jpg", store.folder_of(tmp_path)
    seen: list[int] = []
    for turn in range(20):
        left = set(folder.glob(".*"))
        painter = multiprocessing.get_context("fork").Process(
            target=paint_for_ever, args=(store, photograph, 10 * turn), daemon=True
        )
        painter.start()
        # In the middle of saving: its file is there, and has not been renamed. In half the turns it is not the first.
        while not ((turn % 2 == 0 or store.find(photograph)) and set(folder.glob(".*")) - left):
            assert painter.is_alive()
        painter.kill()
        painter.join()
        if store.find(photograph) is None:
            assert not seen, "a correction that was there is gone"
            continue
        read = read_correction(store.path_of(photograph))
        values = np.unique(read.values_HW[read.painted_HW])
        assert len(values) == 1, "the strokes of two writes are mixed"
        seen.append(int(values[0]))
    assert seen
    assert seen == sorted(seen), "an older correction came back"
    list(store.kept())  # sweeps what the killed ones left
    assert [each.name for each in folder.iterdir()] == ["a.jpg.png"]
