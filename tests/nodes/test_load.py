from __future__ import annotations

import json
import os
import sys
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.errors import SettingError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.parts.part_map import SCHEMES
from maskloss.nodes import load
from maskloss.nodes.load import (
    MaskLossFaceRecognizer,
    MaskLossPartSegmenter,
    MaskLossPersonSegmenter,
    MaskLossSam3Segmenters,
)
from maskloss.nodes.weights import MaskLossPartsToMask, MaskLossSegmentParts

LOADERS = (MaskLossFaceRecognizer, MaskLossPartSegmenter, MaskLossPersonSegmenter)


class RedIsFace(torch.nn.Module):
    """Sapiens in form: 28 classes, of which Face_Neck is the normalised red."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = torch.zeros(1, 28, 256, 192)
        scores[:, 2] = torch.nn.functional.avg_pool2d(x, 4)[:, 0]
        return scores


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An empty models folder, the only one beside the pack's own."""
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path / "models"))
    with use_host(LocalHost(tmp_path, tmp_path)) as host:
        host.classes = frozenset()
        yield tmp_path / "models"


@pytest.fixture
def host(models: Path) -> Any:
    return load.current_host()


@pytest.fixture(scope="module")
def tiny_onnx() -> ModuleType:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = Path(__file__).parents[1] / "core/segmenters/tiny_onnx.py"
    spec = util.spec_from_file_location("tiny_onnx", path)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def parser(directory: Path, scheme_id: str, model_type: str) -> None:
    touch(directory / "model.safetensors", directory / "preprocessor_config.json")
    names = dict(enumerate(SCHEMES[scheme_id].names))
    (directory / "config.json").write_text(json.dumps({"model_type": model_type, "id2label": names}))


def options(loader: type[load.ModelLoader]) -> list[str]:
    return loader.INPUT_TYPES()["required"]["model"][1]["options"]


def test_bundled_comes_first_then_what_is_there(models: Path) -> None:
    touch(models / "sams/a.pth", models / "sams/deep/b.safetensors", models / "ultralytics/segm/aa.onnx")
    touch(models / "sapiens/seg.pt2", models / "insightface/models/antelopev2/det.onnx")
    parser(models / "segformer/clothes", "atr_18", "segformer")
    assert options(MaskLossPersonSegmenter) == ["bundled", "a.pth", "aa.onnx", "deep/b.safetensors"]
    assert options(MaskLossPartSegmenter) == ["bundled", "clothes", "seg.pt2"]
    assert options(MaskLossFaceRecognizer) == ["bundled", "antelopev2"]


def test_the_disk_is_looked_at_once_in_a_few_seconds(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(load.time, "monotonic", lambda: clock[0])
    assert options(MaskLossPersonSegmenter) == ["bundled"]
    touch(models / "sams/new.pth")
    clock[0] += 1
    assert options(MaskLossPersonSegmenter) == ["bundled"]
    assert MaskLossPersonSegmenter.VALIDATE_INPUTS(model="new.pth") is True, "a stale list refuses nothing"
    clock[0] += load.SECONDS_BETWEEN_LOOKS
    assert options(MaskLossPersonSegmenter) == ["bundled", "new.pth"]


def test_a_folder_that_cannot_be_read_leaves_bundled(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> list[str]:
        raise PermissionError(13, "closed")

    monkeypatch.setattr(MaskLossFaceRecognizer, "FIND", staticmethod(closed))
    assert options(MaskLossFaceRecognizer) == ["bundled"]


@pytest.mark.parametrize(
    ("loader", "model", "words"),
    [
        (MaskLossPartSegmenter, "lost.pt2", ("lost.pt2 was not found", "sapiens", "CC-BY-NC 4.0", "facebook/sapiens")),
        (MaskLossPartSegmenter, "lost", ("lost was not found", "models/segformer", "Hugging Face")),
        (MaskLossPersonSegmenter, "lost.pth", ("lost.pth was not found", "models/sams", "Apache-2.0", "GitHub")),
        (MaskLossPersonSegmenter, "lost.onnx", ("lost.onnx was not found", "models/ultralytics/segm", "AGPL-3.0")),
        (MaskLossFaceRecognizer, "buffalo_l", ("buffalo_l was not found", "models/insightface", "non-commercial")),
    ],
)
def test_a_lost_file_is_said_before_anything_runs(
    models: Path, loader: type[load.ModelLoader], model: str, words: tuple[str, ...]
) -> None:
    sentence = loader.VALIDATE_INPUTS(model=model)
    assert isinstance(sentence, str)
    for word in (*words, str(models), "'bundled'"):
        assert word in sentence


@pytest.mark.parametrize("model", ["../secret.pth", "/etc/secret.pth", "", 5, ["a.pth"]])
def test_a_name_that_leads_elsewhere_is_refused(models: Path, model: Any) -> None:
    touch(models.parent / "secret.pth")
    for loader in LOADERS:
        assert isinstance(loader.VALIDATE_INPUTS(model=model), str)


def test_checking_a_large_file_reads_none_of_it(models: Path) -> None:
    (models / "sams").mkdir(parents=True)
    with (models / "sams/vit_h.pth").open("wb") as file:
        file.truncate(8 << 30)
    opened: list[str] = []
    listening = True
    sys.addaudithook(lambda event, given: opened.append(str(given[0])) if listening and event == "open" else None)
    assert MaskLossPersonSegmenter.VALIDATE_INPUTS(model="vit_h.pth") is True
    MaskLossPersonSegmenter.IS_CHANGED(model="vit_h.pth")
    with (models / "sams/seen.pth").open("wb"):
        listening = False
    assert [Path(path).name for path in opened if path.endswith(".pth")] == ["seen.pth"]


def test_a_new_file_of_the_old_name_is_loaded_again(models: Path) -> None:
    pack = models / "insightface/models/pack/det.onnx"
    touch(pack, models / "sams/a.pth", models / "sams/b.pth")
    for loader, model, path in (
        (MaskLossPersonSegmenter, "a.pth", models / "sams/a.pth"),
        (MaskLossFaceRecognizer, "pack", pack),
    ):
        before = loader.IS_CHANGED(model=model)
        os.utime(models / "sams/b.pth", ns=(7, 7))
        assert loader.IS_CHANGED(model=model) == before
        os.utime(path, ns=(5, 5))
        assert loader.IS_CHANGED(model=model) != before
    assert MaskLossPersonSegmenter.IS_CHANGED(model="bundled") == MaskLossPersonSegmenter.IS_CHANGED(model=None)


@pytest.mark.models
def test_bundled_needs_nothing_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASKLOSS_MODELS")
    for loader in LOADERS:
        assert loader.VALIDATE_INPUTS(model="bundled") is True
        answer = loader().run(model="bundled")
        assert answer["ui"] == {"text": [], "warnings": []}
        assert answer["result"][0].identity.startswith("bundled-")


def test_a_sapiens_file_segments(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "sapiens").mkdir(parents=True)
    torch.jit.script(RedIsFace()).save(str(models / "sapiens/toy.pt2"))
    answer = MaskLossPartSegmenter().run(model="toy.pt2")
    assert "CC-BY-NC" in answer["ui"]["text"][0]
    assert answer["ui"]["warnings"] == answer["ui"]["text"]
    assert "CC-BY-NC" in capsys.readouterr().err
    image = torch.zeros(1, 40, 30, 3)
    image[:, :20, :, 0] = 1
    parts, _ = MaskLossSegmentParts().run(image=image, segmenter=answer["result"][0])["result"]
    (face,) = MaskLossPartsToMask().run(parts=parts, classes="Face_Neck")
    assert face[0].mean(dim=1)[[2, 17, 22, 37]].tolist() == [1, 1, 0, 0]


def test_a_yolo_file_and_a_face_pack_find_what_they_are_made_to_find(models: Path, tiny_onnx: ModuleType) -> None:
    row = np.zeros(4 + 80 + 32, np.float32)
    row[[0, 1, 2, 3, 4, 84]] = 320, 320, 640, 640, 0.9, 1
    protos = np.full((32, 160, 160), -20, np.float32)
    protos[0, 40:80] = 20
    tiny_onnx.yolo(models / "ultralytics/segm/people.onnx", (640, 640), row[:, None], protos)
    answer = MaskLossPersonSegmenter().run(model="people.onnx")
    (mask,) = answer["result"][0].segment(np.zeros((64, 64, 3), np.uint8), [])
    assert (mask.probability_HW > 0.5).mean(axis=1)[[14, 18, 30, 34]].tolist() == [0, 1, 1, 0]
    assert answer["ui"] == {"text": [], "warnings": []}

    pytest.importorskip("insightface")
    pack = models / "insightface/models/tiny"
    tiny_onnx.face_detector(pack / "det.onnx")
    tiny_onnx.face_embedder(pack / "rec.onnx")
    answer = MaskLossFaceRecognizer().run(model="tiny")
    rgb_HWC = np.full((640, 640, 3), 127, np.uint8)
    rgb_HWC[256:288, 64:96] = (255, 0, 0)
    (face,) = answer["result"][0].detect(rgb_HWC)
    assert face.box == pytest.approx((64, 256, 96, 288))
    assert "non-commercial" in answer["ui"]["text"][0]


def test_sapiens2_beside_faces_is_warned_about(models: Path, host: LocalHost) -> None:
    parser(models / "sapiens2/seg", "sapiens2_29", "sapiens2")
    parser(models / "segformer/clothes", "atr_18", "segformer")
    assert MaskLossPartSegmenter().run(model="seg")["ui"]["text"] == [
        "The Sapiens2 licence forbids biometric processing."
    ]
    host.classes = frozenset({"MaskLossPartSegmenter", "MaskLossFaceRecognizer"})
    _, warning = MaskLossPartSegmenter().run(model="seg")["ui"]["text"]
    assert "in one workflow with Load Face Recognizer" in warning
    assert MaskLossPartSegmenter().run(model="clothes")["ui"]["text"] == []


def test_sam_3_says_what_it_needs_where_there_is_no_comfyui() -> None:
    with pytest.raises(SettingError, match=r"SAM 3 runs in ComfyUI only.*use Load Person Segmenter and Load Part"):
        MaskLossSam3Segmenters().run(model=object(), clip=object())
