from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import UserError
from maskloss.core.segmenters.yolo_seg import Letterbox, YoloPersonSegmenter, _without_duplicates

from .tiny_onnx import floats, save, yolo

pytest.importorskip("onnxruntime")
helper = pytest.importorskip("onnx").helper

CLASSES, MASKS = 80, 32


def row(
    box: tuple[float, float, float, float], score: float, proto: int, of_class: int = 0, classes: int = CLASSES
) -> np.ndarray:
    """One candidate: centre and size from (x0, y0, x1, y1), one class, one prototype."""
    x0, y0, x1, y1 = box
    column = np.zeros(4 + classes + MASKS, np.float32)
    column[:4] = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0
    column[4 + of_class] = score
    column[4 + classes + proto] = 1.0
    return column


def protos(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (160, 160)) -> np.ndarray:
    """Prototypes that are +20 inside these boxes of the quarter grid and -20 outside."""
    masks_Mhw = np.full((MASKS, size[1], size[0]), -20.0, np.float32)
    for mask_hw, (x0, y0, x1, y1) in zip(masks_Mhw, boxes, strict=False):
        mask_hw[y0:y1, x0:x1] = 20
    return masks_Mhw


EVERYWHERE = (0, 0, 640, 640)


def covered(mask_HW: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(mask_HW > 0.5)
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # 1280 x 720 lies at 640 x 360 from y = 140 on: the box (40..80, 50..90) x 4 on the input.
        ((1280, 720), (320, 120, 640, 440)),
        # 480 x 960 lies at 320 x 640 from x = 160 on.
        ((480, 960), (0, 300, 240, 540)),
        ((640, 640), (160, 200, 320, 360)),
        ((320, 320), (80, 100, 160, 180)),
    ],
)
def test_a_mask_comes_back_to_its_place_in_the_picture(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int, int, int]
) -> None:
    output_CN = np.stack([row(EVERYWHERE, 0.9, 0)], axis=1)
    path = yolo(tmp_path / "y.onnx", (640, 640), output_CN, protos((40, 50, 80, 90)))
    (mask,) = YoloPersonSegmenter(path).segment(np.zeros((size[1], size[0], 3), np.uint8), [])
    assert mask.face_index is None
    assert mask.probability_HW.shape == (size[1], size[0])
    assert covered(mask.probability_HW) == pytest.approx(expected, abs=1)


def test_the_letterbox_is_undone_exactly() -> None:
    box = Letterbox.fit((1001, 333), (640, 640))
    assert (box.width, box.height, box.left, box.top) == (640, 213, 0, 213)
    ramp_HWC = np.repeat(np.linspace(0, 255, 1001)[None, :, None], 333, 0).repeat(3, 2).astype(np.uint8)
    laid = box.apply(ramp_HWC)
    assert laid.shape == (640, 640, 3)
    assert (laid[:213] == 114).all()
    assert (laid[426:] == 114).all()
    back = box.undo(laid[:, :, 0].astype(np.float32), (1001, 333))
    assert np.abs(back - ramp_HWC[:, :, 0]).max() <= 1.5


def test_a_net_with_a_wide_input_is_fed_at_that_size(tmp_path: Path) -> None:
    output_CN = np.stack([row((0, 0, 320, 160), 0.9, 0)], axis=1)
    masks = protos((10, 10, 20, 20), size=(80, 40))
    path = yolo(tmp_path / "y.onnx", (320, 160), output_CN, masks)
    (mask,) = YoloPersonSegmenter(path).segment(np.zeros((160, 320, 3), np.uint8), [])
    assert covered(mask.probability_HW) == pytest.approx((40, 40, 80, 80), abs=1)


def test_a_net_that_takes_any_size_is_fed_640(tmp_path: Path) -> None:
    output_CN = np.stack([row(EVERYWHERE, 0.9, 0)], axis=1)
    path = yolo(tmp_path / "y.onnx", (640, 640), output_CN, protos((40, 50, 80, 90)), dynamic=True)
    (mask,) = YoloPersonSegmenter(path).segment(np.zeros((640, 640, 3), np.uint8), [])
    assert covered(mask.probability_HW) == pytest.approx((160, 200, 320, 360), abs=1)


def test_the_box_bounds_the_mask(tmp_path: Path) -> None:
    output_CN = np.stack([row((200, 220, 300, 340), 0.9, 0)], axis=1)
    path = yolo(tmp_path / "y.onnx", (640, 640), output_CN, protos((40, 50, 80, 90)))
    (mask,) = YoloPersonSegmenter(path).segment(np.zeros((640, 640, 3), np.uint8), [])
    assert covered(mask.probability_HW) == (200, 220, 300, 340)


def test_only_people_count_and_duplicates_and_doubtful_ones_do_not(tmp_path: Path) -> None:
    candidates = [
        row((0, 0, 200, 600), 0.6, 0),
        row((4, 2, 204, 600), 0.8, 1),  # the same person, surer
        row((300, 0, 500, 600), 0.7, 2),
        row((300, 0, 500, 600), 0.95, 3, of_class=16),  # a dog in the same place
        row((500, 0, 600, 600), 0.2, 4),  # too doubtful
    ]
    masks = protos(*[(0, 0, 160, 160)] * 5)
    path = yolo(tmp_path / "y.onnx", (640, 640), np.stack(candidates, axis=1), masks)
    found = YoloPersonSegmenter(path).segment(np.zeros((640, 640, 3), np.uint8), [])
    assert [covered(mask.probability_HW)[0] for mask in found] == [4, 300]


def test_a_candidate_that_is_rather_something_else_is_no_person(tmp_path: Path) -> None:
    column = row(EVERYWHERE, 0.4, 0)
    column[4 + 77] = 0.6  # a teddy bear
    path = yolo(tmp_path / "y.onnx", (640, 640), column[:, None], protos((0, 0, 160, 160)))
    assert YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), []) == []


def test_one_class_nets_and_named_classes_are_understood(tmp_path: Path) -> None:
    single = np.stack([row(EVERYWHERE, 0.9, 0, classes=1)], axis=1)
    path = yolo(tmp_path / "person.onnx", (640, 640), single, protos((40, 50, 80, 90)), {"names": "{0: 'person'}"})
    assert len(YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), [])) == 1
    numbered = {"names": "{0: 'class0'}"}
    path = yolo(tmp_path / "numbered.onnx", (640, 640), single, protos((40, 50, 80, 90)), numbered)
    assert len(YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), [])) == 1
    path = yolo(tmp_path / "odd.onnx", (640, 640), single, protos((40, 50, 80, 90)), {"names": "person or so"})
    assert len(YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), [])) == 1
    second = np.stack([row(EVERYWHERE, 0.9, 0, of_class=1, classes=2)], axis=1)
    names = {"names": "{0: 'dog', 1: 'Person'}"}
    path = yolo(tmp_path / "second.onnx", (640, 640), second, protos((40, 50, 80, 90)), names)
    assert len(YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), [])) == 1


def test_overlap_is_counted_over_the_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 7.2], [0, 0, 10, 6.8], [20, 0, 30, 10]], np.float32)
    assert _without_duplicates(boxes) == [0, 2, 3]
    assert _without_duplicates(np.zeros((0, 4), np.float32)) == []


def test_identity_follows_the_file(tmp_path: Path) -> None:
    output_CN = np.stack([row(EVERYWHERE, 0.9, 0)], axis=1)
    path = yolo(tmp_path / "y.onnx", (640, 640), output_CN, protos((40, 50, 80, 90)))
    first = YoloPersonSegmenter(path).identity
    yolo(path, (640, 640), output_CN, protos((41, 50, 80, 90)))
    assert YoloPersonSegmenter(path).identity != first


def _message(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), [])
    return str(caught.value)


def test_a_net_of_faces_is_refused_by_its_own_names(tmp_path: Path) -> None:
    single = np.stack([row(EVERYWHERE, 0.9, 0, classes=1)], axis=1)
    path = yolo(tmp_path / "face.onnx", (640, 640), single, protos((40, 50, 80, 90)), {"names": "{0: 'face'}"})
    assert "it finds no people, its classes are face" in _message(path)


def test_outputs_that_do_not_fit_are_refused_with_their_shapes(tmp_path: Path) -> None:
    few = np.zeros((20, 3), np.float32)
    path = yolo(tmp_path / "few.onnx", (640, 640), few, protos((0, 0, 1, 1)))
    message = _message(path)
    assert "(1, 20, 3)" in message
    assert "(1, 32, 160, 160)" in message
    assert "4 + classes + M" in message
    nodes = [helper.make_node("Identity", ["images"], ["output0"])]
    shape = [1, 3, 64, 64]
    save(tmp_path / "detection.onnx", nodes, [floats("images", shape)], [floats("output0", shape)], {})
    assert "its outputs have the shapes (1, 3, 64, 64)" in _message(tmp_path / "detection.onnx")


def test_inputs_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["images"], ["output0"])]
    save(tmp_path / "grey.onnx", nodes, [floats("images", [1, 1, 64, 64])], [floats("output0", [1, 1, 64, 64])], {})
    assert "expected one (1, 3, height, width)" in _message(tmp_path / "grey.onnx")


def test_a_net_that_fails_while_running_is_said(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["images", "shape"], ["output0"])]
    inputs, outputs = [floats("images", [1, 3, "h", "w"])], [floats("output0", [1, 7])]
    save(tmp_path / "bad.onnx", nodes, inputs, outputs, {"shape": np.array([1, 7])})
    assert "does not run on a picture of (1, 3, 640, 640)" in _message(tmp_path / "bad.onnx")


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "y.onnx").write_bytes(b"<html>not found</html>")
    message = _message(tmp_path / "y.onnx")
    assert "onnxruntime does not read it" in message
    assert "yolo11m-seg.onnx" in message


def test_a_missing_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install onnxruntime" in _message(tmp_path / "y.onnx")
