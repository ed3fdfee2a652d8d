"""Marks come back from their file, and each finds the photograph that it was said of."""

from pathlib import Path

import pytest
from maskloss.core.corrections.marks import ChosenFace, Marks
from maskloss.core.corrections.marks_file import Marked, find_marked, read_marks, write_marks
from maskloss.core.errors import DatasetError, PathError

FACE = Marks(face=ChosenFace((0.1, 0.2, 0.5, 0.75), "sha"))
KNOWN = [Path("/x/one/a.png"), Path("/x/two/a.png"), Path("/x/two/b.png"), Path("/x/other.png")]


def test_they_come_back(tmp_path: Path) -> None:
    marked = [Marked("photos", "a.png", Marks(True)), Marked("clips", "ä.mp4", FACE)]
    write_marks(tmp_path / "marks.json", marked)
    assert read_marks(tmp_path / "marks.json") == marked
    assert read_marks(tmp_path / "none.json") == []


def test_each_finds_its_own() -> None:
    assert find_marked(Marked("two", "b.png", Marks(True)), KNOWN, {}) == KNOWN[2]
    assert find_marked(Marked("elsewhere", "b.png", Marks(True)), KNOWN, {}) == KNOWN[2], "a name is enough"
    assert find_marked(Marked("two", "a.png", Marks(True)), KNOWN, {}) == KNOWN[1]
    assert find_marked(Marked("two", "b.png", FACE), KNOWN, {"sha": KNOWN[3]}) == KNOWN[3]
    with pytest.raises(PathError, match="none of the 4 photographs"):
        find_marked(Marked("elsewhere", "a.png", Marks(True)), KNOWN, {})
    with pytest.raises(PathError, match=r"c\.png .* was marked, and none of the 4"):
        find_marked(Marked("two", "c.png", Marks(True)), KNOWN, {})
    with pytest.raises(PathError, match="and 2 of the 5"):
        find_marked(Marked("two", "a.png", Marks(True)), [*KNOWN, Path("/y/two/a.png")], {})


@pytest.mark.parametrize(
    "text", ["{", "{}x", "[1]", '[{"name": "a"}]', '{"name": 3}', '[{"folder": "", "name": "", "done": 1}]']
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "marks.json").write_text(text)
    with pytest.raises(DatasetError, match="is no list of marks"):
        read_marks(tmp_path / "marks.json")
