"""`maskloss corrections` as a user types it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.main import EXIT_USER, main
from maskloss.core.corrections.frames import paths_of
from maskloss.core.corrections.marks import ChosenFace, Marks
from maskloss.core.corrections.override import NO_REVISION, Correction, read_correction, write_correction
from maskloss.core.corrections.store import CorrectionStore, Patch
from maskloss.core.dataset.corrected import painted_over
from maskloss.core.dataset.files import hash_of
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.images import save_image

from tests.moving_clip import SIZE, frames


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """a.png is corrected, in the output folder `out`; b.png is not."""
    for seed, name in enumerate("ab"):
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 12, 3), dtype=np.uint8)
        save_image(tmp_path / f"photos/{name}.png", pixels)
    path = tmp_path / "photos/a.png"
    patch = Patch(0, 0, np.full((8, 6), 80, np.uint8), np.ones((8, 6), bool))
    over = painted_over(DatasetItem("a", path, LoadSettings()))
    store(tmp_path).paint(path, (12, 8), patch, over, NO_REVISION)
    return tmp_path / "photos"


def store(folder: Path, output: str = "out") -> CorrectionStore:
    return CorrectionStore(folder / output / "maskloss/corrections")


def run(folder: Path, *words: object, output: str = "out") -> int:
    return main(["corrections", *map(str, words), "--output", str(folder / output)])


def test_they_are_listed_and_reverted_one_by_one(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "list") == 0
    assert f"{photographs / 'a.png'}  50.0% painted\n1 corrections in" in capsys.readouterr().out
    assert run(tmp_path, "revert", photographs / "b.png") == EXIT_USER
    assert "b.png has no correction" in capsys.readouterr().err
    assert run(tmp_path, "revert", photographs / "a.png") == 0
    assert run(tmp_path, "list") == 0
    assert "0 corrections in" in capsys.readouterr().out


def test_a_photograph_that_is_gone_is_told(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photographs / "a.png").unlink()
    assert run(tmp_path, "list") == 0
    assert "(the photograph is gone)" in capsys.readouterr().out


def test_exported_ones_find_their_photographs_in_another_folder_under_other_names(
    tmp_path: Path, photographs: Path
) -> None:
    assert run(tmp_path, "export", tmp_path / "files") == 0
    shutil.copytree(photographs, tmp_path / "moved")
    (tmp_path / "moved/a.png").rename(tmp_path / "moved/renamed.png")
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", output="other") == 0
    found = store(tmp_path, "other").find(tmp_path / "moved/renamed.png")
    assert found is not None
    before, after = read_correction(store(tmp_path).path_of(photographs / "a.png")), read_correction(found)
    assert np.array_equal(before.painted_HW, after.painted_HW)
    assert np.array_equal(before.values_HW, after.values_HW)
    assert after.over == before.over


def test_nothing_is_imported_where_one_does_not_fit(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fits = Correction(np.zeros((8, 12), np.uint8), np.ones((8, 12), bool))
    write_correction(tmp_path / "files/b.png.png", fits)
    write_correction(tmp_path / "files/z.png.png", fits)
    assert run(tmp_path, "import", tmp_path / "files", photographs) == EXIT_USER
    assert "z.png.png belongs to none of the 2 photographs" in capsys.readouterr().err
    (tmp_path / "files/z.png.png").unlink()
    write_correction(tmp_path / "files/a.png.png", fits)
    assert run(tmp_path, "import", tmp_path / "files", photographs) == EXIT_USER
    assert "a.png has a correction already" in capsys.readouterr().err
    turned = Correction(np.zeros((12, 8), np.uint8), np.ones((12, 8), bool))
    write_correction(tmp_path / "files/a.png.png", turned)
    assert run(tmp_path, "import", tmp_path / "files", photographs, "--replace") == EXIT_USER
    assert "is 8x12 and" in capsys.readouterr().err
    assert store(tmp_path).find(photographs / "b.png") is None
    write_correction(tmp_path / "files/a.png.png", fits)
    assert run(tmp_path, "import", tmp_path / "files", photographs, "--replace") == 0
    assert store(tmp_path).find(photographs / "b.png") is not None


def test_folders_that_do_not_fit_are_refused(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "export", photographs) == EXIT_USER
    assert "is not empty" in capsys.readouterr().err
    assert run(tmp_path, "import", tmp_path / "nowhere", photographs) == EXIT_USER
    assert "is no folder" in capsys.readouterr().err


def test_faces_are_chosen_and_photographs_left_out_without_the_viewer(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = photographs / "a.png", photographs / "b.png"
    assert run(tmp_path, "choose", a, "--box", 3, 2, 6, 6) == 0
    assert run(tmp_path, "leave-out", b) == 0
    noted = store(tmp_path).marks(photographs)
    assert (noted["a.png"].face, noted["b.png"].left_out) == (ChosenFace((0.25, 0.25, 0.5, 0.75), hash_of(a)), True)
    capsys.readouterr()
    assert run(tmp_path, "list") == 0
    said = capsys.readouterr().out
    assert "/a.png  the person is at 25.0%, 25.0%, 50.0%, 75.0%" in said
    assert "/b.png  left out" in said
    assert run(tmp_path, "choose", a, "--box", 3, 2, 13, 6) == EXIT_USER
    assert "does not lie in its photograph" in capsys.readouterr().err
    assert run(tmp_path, "leave-out", photographs / "c.png") == EXIT_USER
    assert run(tmp_path, "choose", a) == 0
    assert run(tmp_path, "leave-out", "--take-back", b) == 0
    assert store(tmp_path).marks(photographs) == {}


def test_those_of_a_video_are_listed_taken_elsewhere_and_reverted_frame_by_frame(
    tmp_path: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video(tmp_path / "clips/a.mkv", frames(6), codec="ffv1", pix_fmt="yuv444p")
    over = painted_over(DatasetItem("a", video, LoadSettings()))
    for frame in (1, 4):
        patch = Patch(0, 0, np.full((8, 6), 80 + frame, np.uint8), np.ones((8, 6), bool))
        store(tmp_path).paint_frame(video, frame, SIZE, patch, over, NO_REVISION)
    assert run(tmp_path, "list") == 0
    assert f"{video}  painted in frames 1, 4\n1 corrections in" in capsys.readouterr().out
    assert run(tmp_path, "export", tmp_path / "files") == 0
    assert sorted(path.name for path in (tmp_path / "files/a.mkv.frames").iterdir()) == ["000001.png", "000004.png"]
    shutil.copytree(video.parent, tmp_path / "moved")
    (tmp_path / "moved/a.mkv").rename(tmp_path / "moved/b.mkv")
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", output="other") == 0
    found = store(tmp_path, "other").find(tmp_path / "moved/b.mkv")
    assert found == store(tmp_path, "other").frames_of(tmp_path / "moved/b.mkv")
    assert [read_correction(path).values_HW[0, 0] for path in paths_of(found)] == [81, 84]
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", output="other") == EXIT_USER
    assert "b.mkv has a correction already" in capsys.readouterr().err
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", "--replace", output="other") == 0
    (tmp_path / "files/a.mkv.frames").rename(tmp_path / "files/b.mkv.frames")
    with_small = Correction(np.zeros((8, 12), np.uint8), np.ones((8, 12), bool))
    for path in (tmp_path / "files/b.mkv.frames").iterdir():
        write_correction(path, with_small)
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", "--replace", output="other") == EXIT_USER
    assert "is 12x8 and" in capsys.readouterr().err
    assert run(tmp_path, "revert", video, "--frame", 4) == 0
    assert run(tmp_path, "revert", video, "--frame", 4) == EXIT_USER
    assert "has no correction of frame 4" in capsys.readouterr().err
    video.unlink()
    assert run(tmp_path, "list") == 0
    assert "painted in frames 1  (the video is gone)" in capsys.readouterr().out
    assert run(tmp_path, "revert", video) == 0
    assert store(tmp_path).find(video) is None


def test_those_of_one_persons_item_are_told_taken_elsewhere_and_reverted_apart(
    tmp_path: Path, photographs: Path, make_video: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    a = photographs / "a.png"
    video = make_video(photographs / "v.mkv", frames(3), codec="ffv1", pix_fmt="yuv444p")
    patch = Patch(0, 0, np.full((8, 3), 40, np.uint8), np.ones((8, 3), bool))
    over = painted_over(DatasetItem("a", a, LoadSettings()))
    store(tmp_path).of("anna").paint(a, (12, 8), patch, over, NO_REVISION)
    of_video = painted_over(DatasetItem("v", video, LoadSettings()))
    store(tmp_path).of("anna").paint_frame(video, 1, SIZE, patch, of_video, NO_REVISION)
    assert run(tmp_path, "choose", a, "--box", 3, 2, 6, 6, "--person", "anna") == 0
    assert run(tmp_path, "leave-out", a, "--person", "berta") == 0
    capsys.readouterr()
    assert run(tmp_path, "list") == 0
    said = capsys.readouterr().out
    assert f"{a}  50.0% painted\n" in said
    assert f"{a} (anna)  25.0% painted\n" in said
    assert f"{video} (anna)  painted in frames 1\n3 corrections" in said
    assert "/a.png (anna)  the person is at 25.0%, 25.0%, 50.0%, 75.0%\n" in said
    assert "/a.png (berta)  left out\n" in said
    assert "/a.png  \n" not in said, "about the photograph itself nothing was decided"
    assert run(tmp_path, "export", tmp_path / "files") == 0
    assert "3 corrections exported" in capsys.readouterr().out
    shutil.copytree(photographs, tmp_path / "moved")
    moved = (tmp_path / "moved/a.png").rename(tmp_path / "moved/renamed.png")
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", output="other") == 0
    there = store(tmp_path, "other")
    for name, value in (("", 80), ("anna", 40)):
        found = there.of(name).find(moved)
        assert found is not None
        assert read_correction(found).values_HW[0, 0] == value
    assert there.of("anna").find(tmp_path / "moved/v.mkv") is not None
    assert there.marks(moved.parent)["renamed.png"] == store(tmp_path).marks(photographs)["a.png"]
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", output="other") == EXIT_USER
    assert run(tmp_path, "revert", a, "--person", "berta") == EXIT_USER
    assert "a.png (berta) has no correction" in capsys.readouterr().err
    assert run(tmp_path, "revert", a, "--person", "anna") == 0
    assert store(tmp_path).find(a) is not None
    assert run(tmp_path, "leave-out", "--take-back", a, "--person", "berta") == 0
    assert [name for name, _ in store(tmp_path).marks(photographs)["a.png"].people] == ["anna"]


def test_another_programs_files_are_found_by_their_names(tmp_path: Path, photographs: Path) -> None:
    fits = Correction(np.zeros((8, 12), np.uint8), np.ones((8, 12), bool))
    write_correction(tmp_path / "files/b.png.people/anna.png", fits)
    assert run(tmp_path, "import", tmp_path / "files", photographs) == 0
    assert store(tmp_path).of("anna").find(photographs / "b.png") is not None
    assert store(tmp_path).find(photographs / "b.png") is None


def test_what_is_done_or_left_out_goes_with_them(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = photographs / "a.png", photographs / "b.png"
    store(tmp_path).mark(b, lambda _: Marks(done=True))
    assert run(tmp_path, "choose", a, "--box", 3, 2, 6, 6) == 0
    assert run(tmp_path, "export", tmp_path / "files") == 0
    assert "2 photographs or videos with marks" in capsys.readouterr().out
    shutil.copytree(photographs, tmp_path / "moved")
    (tmp_path / "moved/a.png").rename(tmp_path / "moved/renamed.png")
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", output="other") == 0
    before, after = store(tmp_path).marks(photographs), store(tmp_path, "other").marks(tmp_path / "moved")
    assert after == {"b.png": Marks(done=True), "renamed.png": before["a.png"]}
    store(tmp_path, "other").mark(tmp_path / "moved/b.png", lambda _: Marks(left_out=True))
    store(tmp_path, "other").revert(tmp_path / "moved/renamed.png")
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", output="other") == EXIT_USER
    assert "b.png has other marks already" in capsys.readouterr().err
    assert store(tmp_path, "other").find(tmp_path / "moved/renamed.png") is None, "before anything is kept"
    assert run(tmp_path, "import", tmp_path / "files", tmp_path / "moved", "--replace", output="other") == 0
    assert store(tmp_path, "other").marks(tmp_path / "moved") == after
