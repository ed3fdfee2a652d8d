from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import ModelMissingError, SettingError, UserError
from maskloss.core.segmenters.insightface_faces import InsightFaceRecognizer, keypoints_from_five, pack_directory

from .tiny_onnx import face_detector, face_embedder

pytest.importorskip("insightface")

RED, PINK, ORANGE = (255, 0, 0), (255, 0, 160), (255, 120, 0)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    directory = tmp_path / "models" / "tiny"
    face_detector(directory / "det.onnx")
    face_embedder(directory / "rec.onnx")
    return directory


def faces_picture(*faces: tuple[int, tuple[int, int, int]], side: int = 32) -> np.ndarray:
    """A grey picture of 640 x 640 with squares of these colours at these left edges, from y = 256 on."""
    rgb_HWC = np.full((640, 640, 3), 127, np.uint8)
    for left, colour in faces:
        rgb_HWC[256 : 256 + side, left : left + side] = colour
    return rgb_HWC


def test_faces_are_found_where_they_are_and_numbered_from_the_left(pack: Path) -> None:
    faces = InsightFaceRecognizer(pack).detect(faces_picture((416, RED), (64, PINK)))
    assert [face.index for face in faces] == [0, 1]
    for face, left in zip(faces, (64, 416), strict=True):
        assert face.box == pytest.approx((left, 256, left + 32, 288))
        assert face.score == pytest.approx(127.5 / 128, abs=1e-3)
        expected_K2 = np.add([[8, 8], [24, 8], [16, 16], [16, 24]], [left, 256])
        np.testing.assert_allclose(face.keypoints_K2[:4], expected_K2, atol=1e-4)
        assert np.isnan(face.keypoints_K2[4:]).all()
        assert np.linalg.norm(face.embedding) == pytest.approx(1.0)


def test_the_same_colour_is_the_same_person_and_another_is_not(pack: Path) -> None:
    recognizer = InsightFaceRecognizer(pack)
    red, orange = recognizer.detect(faces_picture((64, RED), (416, ORANGE)))
    again = recognizer.detect(faces_picture((256, RED)))[0]
    assert recognizer.similarity(red.embedding, again.embedding) == pytest.approx(1.0, abs=1e-4)
    assert recognizer.similarity(red.embedding, -red.embedding) == pytest.approx(-1.0)
    assert recognizer.similarity(red.embedding, orange.embedding) < 0.99
    assert recognizer.default_min_similarity == 0.45


def test_colour_channels_arrive_as_rgb(pack: Path) -> None:
    face = InsightFaceRecognizer(pack).detect(faces_picture((256, RED)))[0]
    assert face.embedding[0] > 0.3 > -0.3 > face.embedding[2]


def test_a_picture_of_another_size_gives_boxes_in_its_own_pixels(pack: Path) -> None:
    rgb_HWC = np.zeros((320, 1280, 3), np.uint8)
    rgb_HWC[64:128, 640:704] = RED
    (face,) = InsightFaceRecognizer(pack).detect(rgb_HWC)
    assert face.box == pytest.approx((640, 64, 704, 128))


def test_no_face_is_an_empty_list(pack: Path) -> None:
    assert InsightFaceRecognizer(pack).detect(np.zeros((100, 80, 3), np.uint8)) == []


def test_what_640_pixels_do_not_show_is_looked_for_smaller(tmp_path: Path) -> None:
    """Red lines 2 px thick on black: too dark on the average at 640, but what is left of them at 160 is all red."""
    face_detector(tmp_path / "p" / "det.onnx")
    face_embedder(tmp_path / "p" / "rec.onnx")
    recognizer = InsightFaceRecognizer(tmp_path / "p")
    rgb_HWC = np.zeros((640, 640, 3), np.uint8)
    rgb_HWC[1::4] = RED
    rgb_HWC[2::4] = RED
    assert recognizer._nets.detection.detect(rgb_HWC, input_size=(640, 640))[0].shape[0] == 0
    assert recognizer.detect(rgb_HWC)


def test_a_net_with_a_size_of_its_own_is_asked_at_that_size_only(tmp_path: Path) -> None:
    face_detector(tmp_path / "p" / "det.onnx", side=320)
    face_embedder(tmp_path / "p" / "rec.onnx")
    recognizer = InsightFaceRecognizer(tmp_path / "p")
    assert recognizer.detect(np.zeros((64, 64, 3), np.uint8)) == []
    assert len(recognizer.detect(faces_picture((256, RED), side=64))) == 1


def test_five_points_become_our_six() -> None:
    five = np.array([[10, 20], [30, 20], [20, 30], [12, 40], [28, 44]])
    np.testing.assert_allclose(keypoints_from_five(five)[:4], [[10, 20], [30, 20], [20, 30], [20, 42]])


def test_identity_changes_with_the_recognition_net_alone_too(pack: Path) -> None:
    first = InsightFaceRecognizer(pack).identity
    assert InsightFaceRecognizer(pack).identity == first
    face_embedder(pack / "rec.onnx", factor=2.0)
    assert InsightFaceRecognizer(pack).identity != first


def test_the_licence_is_said(pack: Path) -> None:
    assert "non-commercial" in InsightFaceRecognizer(pack).notes[0]


def test_packs_are_found_in_both_usual_places(tmp_path: Path) -> None:
    face_detector(tmp_path / "models" / "inner" / "det.onnx")
    face_detector(tmp_path / "outer" / "det.onnx")
    assert pack_directory("inner", [tmp_path]) == tmp_path / "models" / "inner"
    assert pack_directory("outer", [tmp_path]) == tmp_path / "outer"


def test_a_missing_pack_is_said_before_insightface_would_download_it(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError) as caught:
        pack_directory("buffalo_l", [tmp_path])
    for word in ("buffalo_l", str(tmp_path), "models/insightface/models", "non-commercial", "'bundled'"):
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_pack_and_a_nested_one_are_said(tmp_path: Path) -> None:
    (tmp_path / "models" / "empty").mkdir(parents=True)
    with pytest.raises(ModelMissingError, match=r"holds no \.onnx file"):
        pack_directory("empty", [tmp_path])
    face_detector(tmp_path / "models" / "twice" / "twice" / "det.onnx")
    with pytest.raises(ModelMissingError, match="one folder too deep"):
        pack_directory("twice", [tmp_path])


@pytest.mark.parametrize("name", ["../outside", "/etc", "C:/pack", ""])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingError, match="choose one from the list"):
        pack_directory(name, [tmp_path])


def test_a_pack_without_detection_is_said(tmp_path: Path) -> None:
    face_embedder(tmp_path / "p" / "rec.onnx")
    with pytest.raises(UserError, match="no face detection net"):
        InsightFaceRecognizer(tmp_path / "p").detect(faces_picture())


def test_a_pack_without_recognition_is_said(tmp_path: Path) -> None:
    face_detector(tmp_path / "p" / "det.onnx")
    with pytest.raises(UserError, match="no recognition net"):
        InsightFaceRecognizer(tmp_path / "p").detect(faces_picture())


def test_a_detector_without_keypoints_is_said(tmp_path: Path) -> None:
    face_detector(tmp_path / "p" / "det.onnx", keypoints=False)
    face_embedder(tmp_path / "p" / "rec.onnx")
    with pytest.raises(UserError, match="no keypoints"):
        InsightFaceRecognizer(tmp_path / "p").detect(faces_picture())


def test_a_damaged_file_is_said(pack: Path) -> None:
    (pack / "rec.onnx").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(UserError, match=r"insightface does not read it.*Download it again"):
        InsightFaceRecognizer(pack).detect(faces_picture())


def test_an_embedding_of_zero_is_said(pack: Path) -> None:
    face_embedder(pack / "rec.onnx", factor=0.0)
    with pytest.raises(UserError, match="embeddings that are zero"):
        InsightFaceRecognizer(pack).detect(faces_picture((256, RED)))


def test_a_missing_library_is_said(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "insightface.app", None)
    with pytest.raises(UserError, match="pip install insightface"):
        InsightFaceRecognizer(pack).detect(faces_picture())


def test_a_manifest_of_insightface_2_that_is_none_is_said(pack: Path) -> None:
    (pack / "manifest.json").write_text('{"manifest_version": 2, "model_id": 5, "license": {}, "tasks": []}')
    pytest.importorskip("insightface.model_zoo.package_manifest")
    with pytest.raises(UserError, match="insightface does not read it"):
        InsightFaceRecognizer(pack).detect(faces_picture((256, RED)))
