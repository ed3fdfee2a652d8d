"""What was decided by hand comes back from its file, and what could not be true is refused."""

import json

import pytest
from maskloss.core.corrections.marks import ChosenFace, Marks
from maskloss.core.errors import SettingError

FACE = ChosenFace((0.1, 0.2, 0.5, 0.75), "sha")


@pytest.mark.parametrize(
    "marks",
    [
        Marks(),
        Marks(True),
        Marks(False, True),
        Marks(True, True, FACE),
        Marks(people=(("anna", Marks(True, False, FACE)),)),
    ],
)
def test_marks_come_back(marks: Marks) -> None:
    assert Marks.from_json(json.loads(json.dumps(marks.to_json()))) == marks


def test_files_from_before_faces_could_be_chosen_are_read() -> None:
    assert Marks.from_json({"done": True, "left_out": False}) == Marks(True, False)
    assert "face" not in Marks(True).to_json()


def test_what_is_decided_about_one_persons_item_changes_nothing_else() -> None:
    marks = Marks(True).noting("berta", Marks(left_out=True)).noting("anna", Marks(face=FACE))
    assert (marks.of(""), marks.of("anna"), marks.of("berta"), marks.of("carla")) == (
        marks, Marks(face=FACE), Marks(left_out=True), Marks(),
    )  # fmt: skip
    assert (marks.done, marks.left_out, marks.face, marks.faces) == (True, False, None, (FACE,))
    assert marks.noting("anna", Marks()).noting("berta", Marks()) == Marks(True)
    assert "people" not in Marks(True).to_json(), "files of photographs alone stay as they were"


@pytest.mark.parametrize(
    "box", [(-0.1, 0, 1, 1), (0, 0, 1.1, 1), (0.5, 0, 0.5, 1), (0, 0.9, 1, 0.1), (0, 0, 1, float("nan"))]
)
def test_a_face_lies_in_its_photograph(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(SettingError, match="does not lie in its photograph"):
        ChosenFace(box, "sha")
