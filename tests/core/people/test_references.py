"""Reference pictures, and the person whom they show."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import PersonError, SettingError
from maskloss.core.images import save_image
from maskloss.core.people.references import read_pictures, reference_identity

from .plain_people import DistanceRecognizer, picture

RECOGNIZER = DistanceRecognizer()


def test_identity_from_two_pictures() -> None:
    who, report, crops = reference_identity(RECOGNIZER, [("a.jpg", picture(1, 4, 0)), ("b.jpg", picture(1, 5, 20))])
    np.testing.assert_allclose(who.embeddings_NK, [[0.0, 0.0], [0.2, 0.0]], atol=1e-6)
    assert (who.recognizer, who.sources) == ("distance/1", ("a.jpg", "b.jpg"))
    assert report["references"][1] == {
        "name": "b.jpg",
        "faces": 1,
        "face_index": 0,
        "box": [0.0, 0.0, 50.0, 50.0],
        "score": 0.9,
    }
    assert report["agreement"] == [{"first": "a.jpg", "second": "b.jpg", "similarity": 0.8}]
    assert report["warnings"] == []
    assert json.dumps(report, allow_nan=False)
    assert [(crop.shape, crop.dtype) for crop in crops] == [((256, 256, 3), np.uint8)] * 2


def test_references_that_disagree_are_warned_of() -> None:
    _, report, _ = reference_identity(RECOGNIZER, [("a.jpg", picture(1, 4, 0)), ("b.jpg", picture(1, 4, 80))])
    assert report["warnings"] == [
        "The references a.jpg and b.jpg agree by 0.20 only (0.50 is one person): check that both show the same person."
    ]


def test_a_reference_with_several_faces_lists_them() -> None:
    group = [("group.jpg", picture(3))]
    with pytest.raises(PersonError, match=r"group.jpg shows 3 faces \(face 0 at \(0, 0\), 40 px, face 1 at \(40, 0\)"):
        reference_identity(RECOGNIZER, group)
    who, report, _ = reference_identity(RECOGNIZER, group, face_index=2)
    np.testing.assert_allclose(who.embeddings_NK, [[0.0, 2.0]], atol=1e-6)
    assert report["references"][0]["faces"] == 3


@pytest.mark.parametrize(
    ("rgb_HWC", "face_index", "message"),
    [
        (picture(0), -1, "No face was found in the reference picture r.jpg"),
        (picture(2), 2, "face_index is 2, but the reference picture r.jpg shows only these: face 0 .*, face 1"),
        (picture(1, side_tens=3), -1, "The face in the reference picture r.jpg is 30 px, and 32 px are needed"),
    ],
)
def test_references_without_a_usable_face(rgb_HWC: np.ndarray, face_index: int, message: str) -> None:
    with pytest.raises(PersonError, match=message):
        reference_identity(RECOGNIZER, [("r.jpg", rgb_HWC)], face_index)


def test_no_reference_at_all() -> None:
    with pytest.raises(SettingError, match="No reference picture was given"):
        reference_identity(RECOGNIZER, [])
    with pytest.raises(SettingError, match=r"face_index must be -1 .* got -2"):
        reference_identity(RECOGNIZER, [("r.jpg", picture(1))], -2)


def test_a_choice_is_only_named_where_there_is_one() -> None:
    group = [("group.jpg", picture(3))]
    with pytest.raises(PersonError, match="or choose one with face_index"):
        reference_identity(RECOGNIZER, group, face_index=-1)
    with pytest.raises(PersonError) as refused:
        reference_identity(RECOGNIZER, group, face_index=None)
    assert str(refused.value).endswith("crop it to the one person.")
    assert reference_identity(RECOGNIZER, [("one.jpg", picture(1))], face_index=None)[0].sources == ("one.jpg",)


def test_a_folders_pictures_are_in_memory_one_at_a_time(tmp_path: Path) -> None:
    side, count = 1200, 12
    for number in range(count):
        save_image(tmp_path / f"{number:02d}.png", np.full((side, side, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    pictures = read_pictures(tmp_path)
    assert len(pictures) == count
    tracemalloc.start()
    means = [(name, float(rgb_HWC.mean())) for name, rgb_HWC in pictures]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert means == [(f"{number:02d}.png", number) for number in range(count)]
    assert peak < side * side * 3 * count / 2
    assert [name for name, _ in pictures[2:4]] == ["02.png", "03.png"]
