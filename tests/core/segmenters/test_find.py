from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.errors import ModelMissingError, SettingError
from maskloss.core.parts.part_map import SCHEMES
from maskloss.core.segmenters.face_parser import HeadsOnPeople
from maskloss.core.segmenters.find import (
    find_face_packs,
    find_part_segmenters,
    find_person_segmenters,
    load_face_recognizer,
    load_part_segmenter,
    load_person_segmenter,
)
from maskloss.core.segmenters.insightface_faces import InsightFaceRecognizer
from maskloss.core.segmenters.sam import SamPersonSegmenter
from maskloss.core.segmenters.sapiens import SapiensPartSegmenter
from maskloss.core.segmenters.transformers_parts import TransformersPartSegmenter
from maskloss.core.segmenters.yolo_seg import YoloPersonSegmenter


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def model_directory(directory: Path, scheme_id: str, model_type: str = "segformer") -> None:
    touch(directory / "model.safetensors", directory / "preprocessor_config.json")
    names = {str(index): name for index, name in enumerate(SCHEMES[scheme_id].names)}
    (directory / "config.json").write_text(json.dumps({"model_type": model_type, "id2label": names}))


def test_person_segmenters_are_listed_with_slashes_once_and_sorted(tmp_path: Path) -> None:
    sams, more, segm = tmp_path / "sams", tmp_path / "more", tmp_path / "segm"
    touch(
        sams / "sam_vit_b.pth", sams / "b" / "x.safetensors", more / "sam_vit_b.pth", more / "a.PT", sams / "read.txt"
    )
    touch(segm / "y.onnx", segm / "y.pt", sams / ".cache" / "half.pth", sams / ".hidden.pth")
    names = find_person_segmenters([sams, more, tmp_path / "missing"], [segm])
    assert names == ["a.PT", "b/x.safetensors", "sam_vit_b.pth", "y.onnx"]


def test_part_segmenters_are_scripts_and_directories(tmp_path: Path) -> None:
    folder = tmp_path / "sapiens"
    touch(folder / "seg" / "one.pt2", folder / "two.pt", folder / "weights.safetensors")
    model_directory(folder / "org" / "clothes", "atr_18")
    touch(folder / "org" / "clothes" / "training.pt", folder / "config.json")
    assert find_part_segmenters([folder]) == ["org/clothes", "seg/one.pt2", "two.pt"]


def test_linked_folders_are_followed_as_comfyui_does(tmp_path: Path) -> None:
    touch(tmp_path / "disk" / "a.pth")
    (tmp_path / "sams").mkdir()
    try:
        os.symlink(tmp_path / "disk", tmp_path / "sams" / "link", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    assert find_person_segmenters([tmp_path / "sams"], []) == ["link/a.pth"]


def test_links_that_lead_back_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "sams/a.pth", tmp_path / "other/b.pth")
    (tmp_path / "sams/itself").symlink_to(tmp_path / "sams", target_is_directory=True)
    (tmp_path / "sams/there").symlink_to(tmp_path / "other", target_is_directory=True)
    (tmp_path / "sams/there_too").symlink_to(tmp_path / "other", target_is_directory=True)
    (tmp_path / "other/and_back").symlink_to(tmp_path / "sams", target_is_directory=True)
    assert find_person_segmenters([tmp_path / "sams"], []) == ["a.pth", "there/b.pth", "there_too/b.pth"]


def test_face_packs_are_listed_from_both_places(tmp_path: Path) -> None:
    touch(tmp_path / "models" / "buffalo_l" / "det.onnx", tmp_path / "antelopev2" / "det.onnx", tmp_path / "x.onnx")
    (tmp_path / "models" / "empty").mkdir()
    assert find_face_packs([tmp_path, tmp_path / "missing"]) == ["antelopev2", "buffalo_l"]


def test_names_become_their_backends_without_reading_the_files(tmp_path: Path) -> None:
    touch(tmp_path / "s.pth", tmp_path / "y.onnx", tmp_path / "p.pt2", tmp_path / "models" / "pack" / "d.onnx")
    model_directory(tmp_path / "clothes", "atr_18")
    assert isinstance(load_person_segmenter("s.pth", [tmp_path]), SamPersonSegmenter)
    assert isinstance(load_person_segmenter("y.onnx", [], [tmp_path]), YoloPersonSegmenter)
    assert isinstance(load_part_segmenter("p.pt2", [tmp_path]), SapiensPartSegmenter)
    assert isinstance(load_part_segmenter("clothes", [tmp_path]), TransformersPartSegmenter)
    assert isinstance(load_face_recognizer("pack", [tmp_path]), InsightFaceRecognizer)


@pytest.mark.models
def test_bundled_needs_no_folder_and_completes_face_parsers(tmp_path: Path) -> None:
    assert isinstance(load_person_segmenter("bundled", []), BundledPersonSegmenter)
    assert isinstance(load_part_segmenter("bundled", []), BundledPartSegmenter)
    assert isinstance(load_face_recognizer("bundled", []), BundledFaceRecognizer)
    model_directory(tmp_path / "face", "celebamask_19_segformer")
    heads = load_part_segmenter("face", [tmp_path])
    assert isinstance(heads, HeadsOnPeople)
    assert heads.approximate


def test_what_is_missing_is_said_for_its_kind(tmp_path: Path) -> None:
    for load, words in (
        (lambda: load_person_segmenter("s.pth", [tmp_path]), ("s.pth", "models/sams", "Apache-2.0")),
        (lambda: load_person_segmenter("y.onnx", [], [tmp_path]), ("y.onnx", "ultralytics/segm", "AGPL-3.0")),
        (lambda: load_part_segmenter("p.pt2", [tmp_path]), ("p.pt2", "models/sapiens", "CC-BY-NC")),
        (lambda: load_part_segmenter("clothes", [tmp_path]), ("clothes", "models/segformer", "Hugging Face")),
        (lambda: load_face_recognizer("buffalo_l", [tmp_path]), ("buffalo_l", "insightface", "non-commercial")),
    ):
        with pytest.raises(ModelMissingError) as caught:
            load()
        for word in (*words, str(tmp_path), "'bundled'"):
            assert word in str(caught.value)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    touch(tmp_path / "notes.txt")
    with pytest.raises(SettingError, match=r"'notes\.txt' is neither 'bundled', an \.onnx file"):
        load_person_segmenter("notes.txt", [tmp_path])
    with pytest.raises(SettingError, match=r"'notes\.txt' is neither 'bundled', a TorchScript file"):
        load_part_segmenter("notes.txt", [tmp_path])


def test_models_say_their_licences(tmp_path: Path) -> None:
    touch(tmp_path / "p.pt2", tmp_path / "models" / "pack" / "d.onnx")
    model_directory(tmp_path / "s2", "sapiens2_29", "sapiens2")
    assert "non-commercial" in load_face_recognizer("pack", [tmp_path]).notes[0]
    assert "CC-BY-NC" in load_part_segmenter("p.pt2", [tmp_path]).notes[0]
    sapiens2 = load_part_segmenter("s2", [tmp_path])
    assert sapiens2.notes == ("The Sapiens2 licence forbids biometric processing.",)
    assert sapiens2.forbids_biometrics
