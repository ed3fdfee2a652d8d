"""Networks that are no YOLO-seg of people are refused, with what was found in them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import ModelRunError
from maskloss.core.segmenters.yolo_seg import YoloPersonSegmenter

from .tiny_onnx import floats, save, yolo
from .yolo_rows import EVERYWHERE, coco, finished, message_of, protos, row

pytest.importorskip("onnxruntime")
helper = pytest.importorskip("onnx").helper


def test_scores_that_are_not_numbers_are_said(tmp_path: Path) -> None:
    for rows_ab in (row(EVERYWHERE, np.nan, 0)[:, None], finished(EVERYWHERE, np.nan, 0)):
        path = yolo(tmp_path / "y.onnx", (640, 640), rows_ab, protos((40, 50, 80, 90)), coco())
        assert "not numbers (NaN)" in message_of(path)


def test_other_nets_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["images"], ["output0"])]
    shape = [1, 3, 64, 64]
    save(tmp_path / "pose.onnx", nodes, [floats("images", shape)], [floats("output0", shape)], {}, coco(task="pose"))
    assert "a net for the task 'pose'" in message_of(tmp_path / "pose.onnx")
    constants = {name: np.zeros(size, np.float32) for name, size in RFDETR.items()}
    constants["nothing"] = np.float32(0)
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["still"]),
        *[helper.make_node("Add", [name, "still"], [f"{name}_out"]) for name in RFDETR],
    ]
    outputs = [floats(f"{name}_out", list(size)) for name, size in RFDETR.items()]
    save(tmp_path / "rf.onnx", nodes, [floats("input", [1, 3, 312, 312])], outputs, constants)
    message = message_of(tmp_path / "rf.onnx")
    assert "RF-DETR-seg" in message
    assert "(1, 100, 91)" in message


RFDETR = {"dets": (1, 100, 4), "labels": (1, 100, 91), "masks": (1, 100, 78, 78)}


def test_a_net_of_faces_is_refused_by_its_own_names(tmp_path: Path) -> None:
    single = np.stack([row(EVERYWHERE, 0.9, 0, classes=1)], axis=1)
    path = yolo(tmp_path / "face.onnx", (640, 640), single, protos((40, 50, 80, 90)), {"names": "{0: 'face'}"})
    assert "it finds no people, its classes are face" in message_of(path)


def test_outputs_that_do_not_fit_are_refused_with_their_shapes(tmp_path: Path) -> None:
    few = np.zeros((20, 3), np.float32)
    path = yolo(tmp_path / "few.onnx", (640, 640), few, protos((0, 0, 1, 1)))
    message = message_of(path)
    assert "(1, 20, 3)" in message
    assert "(1, 32, 160, 160)" in message
    assert "4 + classes + M" in message
    nodes = [helper.make_node("Identity", ["images"], ["output0"])]
    shape = [1, 3, 64, 64]
    save(tmp_path / "detection.onnx", nodes, [floats("images", shape)], [floats("output0", shape)], {})
    assert "its outputs have the shapes (1, 3, 64, 64)" in message_of(tmp_path / "detection.onnx")


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["images"], ["output0"])]
    save(tmp_path / "grey.onnx", nodes, [floats("images", [1, 1, 64, 64])], [floats("output0", [1, 1, 64, 64])], {})
    assert "expected one (1, 3, height, width)" in message_of(tmp_path / "grey.onnx")


def test_a_net_that_fails_while_running_is_said(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["images", "shape"], ["output0"])]
    inputs, outputs = [floats("images", [1, 3, "h", "w"])], [floats("output0", [1, 7])]
    save(tmp_path / "bad.onnx", nodes, inputs, outputs, {"shape": np.array([1, 7])})
    with pytest.raises(ModelRunError, match=r"YOLO-seg bad\.onnx failed while it ran on a picture of 65x64 \(Fail: "):
        YoloPersonSegmenter(tmp_path / "bad.onnx").segment(np.zeros((64, 65, 3), np.uint8), [])


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "y.onnx").write_bytes(b"<html>not found</html>")
    message = message_of(tmp_path / "y.onnx")
    assert "onnxruntime does not read it" in message
    assert "yolo11m-seg.onnx" in message


def test_a_missing_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install onnxruntime" in message_of(tmp_path / "y.onnx")
