from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import ModelRunError, UserError
from maskloss.core.segmenters.yolo_seg import Letterbox, YoloPersonSegmenter

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


def coco(**others: str) -> dict[str, str]:
    """The metadata of ultralytics, with 80 classes."""
    names = {index: f"thing {index}" for index in range(CLASSES)} | {0: "person"}
    return {"names": str(names), "task": "segment", "stride": "32", "end2end": "False", **others}


def finished(
    box: tuple[float, float, float, float], score: float, proto: int, of_class: int = 0, rows: int = 300
) -> np.ndarray:
    """Finished rows (rows, 6 + M) of which the last but one is used, the others have the score 0."""
    rows_NC = np.zeros((rows, 6 + MASKS), np.float32)
    rows_NC[-2, :4], rows_NC[-2, 4], rows_NC[-2, 5], rows_NC[-2, 6 + proto] = box, score, of_class, 1.0
    return rows_NC


@pytest.mark.parametrize(
    ("exported", "side"), [({"imgsz": "[320, 320]"}, 320), ({"imgsz": "320"}, 320), ({}, 640), ({"imgsz": "x"}, 640)]
)
def test_a_net_that_takes_any_size_is_fed_what_it_was_exported_at(
    tmp_path: Path, exported: dict[str, str], side: int
) -> None:
    output_CN = np.stack([row(EVERYWHERE, 0.9, 0)], axis=1)
    masks = protos((10, 10, 20, 20), size=(side // 4, side // 4))
    path = yolo(tmp_path / "y.onnx", (640, 640), output_CN, masks, coco(**exported), dynamic=True)
    (mask,) = YoloPersonSegmenter(path).segment(np.zeros((side, side, 3), np.uint8), [])
    assert covered(mask.probability_HW) == pytest.approx((40, 40, 80, 80), abs=1)


def test_a_net_that_takes_any_size_gets_no_more_grey_than_its_stride_needs(tmp_path: Path) -> None:
    # 600 x 300 at 320 is 320 x 160, five strides high: prototypes of 80 x 40 cover it all.
    output_CN = np.stack([row(EVERYWHERE, 0.9, 0)], axis=1)
    metadata = coco(imgsz="[320, 320]")
    path = yolo(tmp_path / "y.onnx", (0, 0), output_CN, protos((8, 8, 40, 32), size=(80, 40)), metadata, dynamic=True)
    (mask,) = YoloPersonSegmenter(path).segment(np.zeros((300, 600, 3), np.uint8), [])
    assert covered(mask.probability_HW) == pytest.approx((60, 60, 300, 240), abs=2)
    assert Letterbox.fit((600, 290), (320, 320), 32).input_size == (320, 160)
    assert Letterbox.fit((600, 310), (320, 320), 32).input_size == (320, 192)


@pytest.mark.parametrize("says", [{}, {"end2end": "True"}, {"args": "{'nms': True}"}])
@pytest.mark.parametrize("named", [True, False])
def test_finished_rows_are_read_whatever_the_metadata_say(tmp_path: Path, says: dict[str, str], named: bool) -> None:
    """yolo26-seg as ultralytics exports it up to 8.4.130, and every net with nms=True."""
    path = yolo(
        tmp_path / "y.onnx",
        (640, 640),
        finished((80, 100, 320, 360), 0.9, 0),
        protos((40, 50, 80, 90)),
        coco(**says) if named else says,
    )
    (mask,) = YoloPersonSegmenter(path).segment(np.zeros((640, 640, 3), np.uint8), [])
    assert covered(mask.probability_HW) == pytest.approx((160, 200, 320, 360), abs=1)


def test_finished_rows_of_other_classes_and_doubtful_ones_do_not_count(tmp_path: Path) -> None:
    for score, of_class in ((0.9, 16), (0.2, 0), (0.0, 0)):
        rows_NC = finished(EVERYWHERE, score, 0, of_class)
        path = yolo(tmp_path / "y.onnx", (640, 640), rows_NC, protos((40, 50, 80, 90)), coco())
        assert YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), []) == []


def test_finished_rows_of_one_class_were_told_apart_by_the_net(tmp_path: Path) -> None:
    """Those of one class all stay, as with ultralytics; a person who is there as two classes is one person."""
    rows_NC = finished(EVERYWHERE, 0.9, 0)
    rows_NC[0] = rows_NC[-2] + 0
    rows_NC[0, 4] = 0.8
    path = yolo(tmp_path / "y.onnx", (640, 640), rows_NC, protos((40, 50, 80, 90)), coco())
    assert len(YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), [])) == 2
    rows_NC[0, 5] = 1
    metadata = coco(names="{0: 'person', 1: 'woman'}")
    path = yolo(tmp_path / "y.onnx", (640, 640), rows_NC, protos((40, 50, 80, 90)), metadata)
    assert len(YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), [])) == 1


@pytest.mark.parametrize("is_raw", [True, False])
def test_300_channels_by_38_are_told_apart(tmp_path: Path, is_raw: bool) -> None:
    """264 classes make 300 channels, as many as a finished net has rows; it has 38 columns and no raw net has."""
    names = {"names": str({index: "person" if index == 0 else f"thing {index}" for index in range(264)})}
    if is_raw:
        candidates = np.zeros((300, 84), np.float32)  # the 84 cells of 64 x 64
        candidates[:, 7] = row((0, 0, 64, 64), 0.9, 0, classes=264)
    else:
        candidates = finished((0, 0, 64, 64), 0.9, 0)
    path = yolo(tmp_path / "y.onnx", (64, 64), candidates, protos((4, 4, 8, 8), size=(16, 16)), names)
    (mask,) = YoloPersonSegmenter(path).segment(np.zeros((64, 64, 3), np.uint8), [])
    assert covered(mask.probability_HW) == pytest.approx((16, 16, 32, 32), abs=1)


def test_where_even_the_number_of_cells_fits_both_the_metadata_decide(tmp_path: Path) -> None:
    """36 coefficients make 42 columns, and 64 x 32 pixels 42 cells."""
    wide_Mhw = np.concatenate([protos((4, 2, 8, 6), size=(16, 8)), np.zeros((4, 8, 16), np.float32)])
    names = {"names": str({index: "person" if index == 0 else f"thing {index}" for index in range(2)})}
    raw_CN = np.zeros((42, 42), np.float32)
    raw_CN[:5, 3], raw_CN[6, 3] = (32, 16, 64, 32, 0.9), 1
    finished_NC = np.zeros((42, 42), np.float32)
    finished_NC[0, :7] = 0, 0, 64, 32, 0.9, 0, 1
    for rows_ab, says in ((raw_CN, {}), (finished_NC, {"end2end": "True"}), (finished_NC, {"args": "{'nms': True}"})):
        path = yolo(tmp_path / "y.onnx", (64, 32), rows_ab, wide_Mhw, names | says)
        (mask,) = YoloPersonSegmenter(path).segment(np.zeros((32, 64, 3), np.uint8), [])
        assert covered(mask.probability_HW) == pytest.approx((16, 8, 32, 24), abs=1)


@pytest.mark.parametrize("is_raw", [True, False])
@pytest.mark.parametrize("how", [{"batch": 3}, {"half": True}, {"swapped": True}, {"batch": 2, "half": True}])
def test_batches_half_precision_and_swapped_outputs(tmp_path: Path, is_raw: bool, how: dict[str, bool]) -> None:
    rows_ab = row((0, 0, 320, 160), 0.9, 0)[:, None] if is_raw else finished((0, 0, 320, 160), 0.9, 0)
    path = yolo(tmp_path / "y.onnx", (320, 160), rows_ab, protos((10, 10, 20, 20), size=(80, 40)), coco(), **how)
    (mask,) = YoloPersonSegmenter(path).segment(np.zeros((160, 320, 3), np.uint8), [])
    assert covered(mask.probability_HW) == pytest.approx((40, 40, 80, 80), abs=1)


def test_of_a_prompt_free_net_everyone_counts_once(tmp_path: Path) -> None:
    """YOLOE with 4,585 names calls one person by several of them, and people by what they do."""
    words = {0: "person", 1: "man", 2: "woman", 3: "child", 4: "tennis player", 5: "snow man", 6: "record player"}
    names = {index: words.get(index, f"thing {index}") for index in range(4585)}
    candidates = [
        row((0, 0, 200, 600), 0.6, 0, of_class=0, classes=4585),
        row((4, 2, 204, 600), 0.8, 1, of_class=1, classes=4585),
        row((300, 0, 400, 600), 0.7, 2, of_class=3, classes=4585),
        row((500, 0, 600, 600), 0.5, 3, of_class=4, classes=4585),
        row((400, 0, 500, 300), 0.9, 4, of_class=5, classes=4585),
        row((400, 300, 500, 600), 0.9, 5, of_class=6, classes=4585),
    ]
    candidates[2][4 + 2] = 0.65  # a girl, and the net says both
    path = yolo(
        tmp_path / "y.onnx",
        (640, 640),
        np.stack(candidates, axis=1),
        protos(*[(0, 0, 160, 160)] * 6),
        {"names": str(names), "task": "segment"},
    )
    found = YoloPersonSegmenter(path).segment(np.zeros((640, 640, 3), np.uint8), [])
    assert [covered(mask.probability_HW)[0] for mask in found] == [4, 300, 500]


def test_scores_that_are_not_numbers_are_said(tmp_path: Path) -> None:
    for rows_ab in (row(EVERYWHERE, np.nan, 0)[:, None], finished(EVERYWHERE, np.nan, 0)):
        path = yolo(tmp_path / "y.onnx", (640, 640), rows_ab, protos((40, 50, 80, 90)), coco())
        assert "not numbers (NaN)" in _message(path)


def test_a_class_count_that_fits_no_layout_is_refused(tmp_path: Path) -> None:
    path = yolo(tmp_path / "y.onnx", (640, 640), np.zeros((37, 9), np.float32), protos((40, 50, 80, 90)), coco())
    assert "(1, 37, 9)" in _message(path)
    assert "its metadata name 80 classes" in _message(path)


def test_other_nets_are_named(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["images"], ["output0"])]
    shape = [1, 3, 64, 64]
    save(tmp_path / "pose.onnx", nodes, [floats("images", shape)], [floats("output0", shape)], {}, coco(task="pose"))
    assert "a net for the task 'pose'" in _message(tmp_path / "pose.onnx")
    constants = {name: np.zeros(size, np.float32) for name, size in RFDETR.items()}
    constants["nothing"] = np.float32(0)
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["still"]),
        *[helper.make_node("Add", [name, "still"], [f"{name}_out"]) for name in RFDETR],
    ]
    outputs = [floats(f"{name}_out", list(size)) for name, size in RFDETR.items()]
    save(tmp_path / "rf.onnx", nodes, [floats("input", [1, 3, 312, 312])], outputs, constants)
    message = _message(tmp_path / "rf.onnx")
    assert "RF-DETR-seg" in message
    assert "(1, 100, 91)" in message


RFDETR = {"dets": (1, 100, 4), "labels": (1, 100, 91), "masks": (1, 100, 78, 78)}


def test_whoever_has_no_mask_in_their_box_is_nobody(tmp_path: Path) -> None:
    candidates = [row((400, 400, 600, 600), 0.9, 0), row(EVERYWHERE, 0.8, 1)]
    masks = protos((0, 0, 80, 80), (40, 50, 80, 90))
    path = yolo(tmp_path / "y.onnx", (640, 640), np.stack(candidates, axis=1), masks)
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
    with pytest.raises(ModelRunError, match=r"YOLO-seg bad\.onnx failed while it ran on a picture of 65x64 \(Fail: "):
        YoloPersonSegmenter(tmp_path / "bad.onnx").segment(np.zeros((64, 65, 3), np.uint8), [])


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "y.onnx").write_bytes(b"<html>not found</html>")
    message = _message(tmp_path / "y.onnx")
    assert "onnxruntime does not read it" in message
    assert "yolo11m-seg.onnx" in message


def test_a_missing_library_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "pip install onnxruntime" in _message(tmp_path / "y.onnx")
