from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.segmenters.yolo_layouts import find_people, read_metadata, without_duplicates
from maskloss.core.segmenters.yolo_seg import YoloPersonSegmenter

from .tiny_onnx import yolo
from .yolo_rows import EVERYWHERE, coco, covered, finished, message_of, protos, row

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

COEFFICIENTS = 32


def test_overlap_is_counted_over_the_union() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 7.2], [0, 0, 10, 6.8], [20, 0, 30, 10]], np.float32)
    assert without_duplicates(boxes) == [0, 2, 3]
    assert without_duplicates(np.zeros((0, 4), np.float32)) == []
    assert without_duplicates(boxes, np.array([0, 0, 0, 0])) == [0, 1, 2, 3]
    assert without_duplicates(boxes, np.array([0, 1, 1, 1])) == [0, 2, 3]


def test_what_ultralytics_writes_is_read_and_what_cannot_be_counts_as_not_written() -> None:
    written = {
        "names": "{0: 'person', 1: 'car'}", "imgsz": "[192, 320]", "stride": "16", "task": "segment",
        "end2end": "False", "args": "{'batch': 1, 'nms': True}",
    }  # fmt: skip
    metadata = read_metadata(written)
    assert (metadata.names, metadata.size, metadata.stride) == ({0: "person", 1: "car"}, (320, 192), 16)
    assert metadata.says_finished
    assert read_metadata({"names": "['person', 'car']"}).names == {0: "person", 1: "car"}
    unreadable = {"names": "{'a': 1}", "imgsz": "[0, 5]", "stride": "-1", "args": "[["}
    for odd in ({}, unreadable, {"names": "{", "imgsz": "1,"}):
        metadata = read_metadata(odd)
        assert (metadata.names, metadata.size, metadata.stride, metadata.says_finished) == ({}, None, 32, False)


@given(
    classes=st.integers(1, 400),
    cells=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    is_raw=st.booleans(),
    is_named=st.booleans(),
    end2end=st.booleans(),
    rows=st.integers(1, 320),
)
@settings(max_examples=150, deadline=None)
def test_both_layouts_give_the_same_person_whatever_else_is_so(classes, cells, is_raw, is_named, end2end, rows) -> None:
    size = (cells[0] * 32, cells[1] * 32)
    protos_BMhw = np.zeros((1, COEFFICIENTS, size[1] // 4, size[0] // 4), np.float32)
    if is_raw:
        rows_Bab = np.zeros((1, 4 + classes + COEFFICIENTS, cells[0] * cells[1] * 21), np.float32)
        rows_Bab[0, :5, -1], rows_Bab[0, 4 + classes :, -1] = (16, 12, 24, 8, 0.5), 7
    else:
        rows_Bab = np.zeros((1, rows, 6 + COEFFICIENTS), np.float32)
        rows_Bab[0, -1, :6], rows_Bab[0, -1, 6:] = (4, 8, 28, 16, 0.5, 0), 7
    names = {index: f"{index} things" for index in range(classes)} | {0: "person"}
    # What `end2end` says must not matter: nms=True writes False, and a raw net of the new releases too.
    metadata = read_metadata({"names": str(names) if is_named else "", "end2end": str(end2end)})
    people = find_people([rows_Bab, protos_BMhw], metadata, size, 50)
    np.testing.assert_array_equal(people.boxes_N4, [[4, 8, 28, 16]])
    np.testing.assert_array_equal(people.coefficients_NM, np.full((1, COEFFICIENTS), 7))


def test_a_net_of_four_grids_is_raw_where_its_rows_are_as_many_as_their_cells() -> None:
    """37 coefficients make 43 columns in finished rows too; 64 x 32 pixels 32 + 8 + 2 cells, and one of stride 64."""
    coefficients, size = 37, (64, 32)
    rows_Bab = np.zeros((1, 4 + 2 + coefficients, 43), np.float32)
    rows_Bab[0, :5, 3], rows_Bab[0, 6:, 3] = (32, 16, 64, 32, 0.9), 1
    protos_BMhw = np.zeros((1, coefficients, 8, 16), np.float32)
    metadata = read_metadata({"names": "{0: 'person', 1: 'dog'}", "stride": "64"})
    people = find_people([rows_Bab, protos_BMhw], metadata, size, 50)
    np.testing.assert_array_equal(people.boxes_N4, [[0, 0, 64, 32]])


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


def test_a_class_count_that_fits_no_layout_is_refused(tmp_path: Path) -> None:
    path = yolo(tmp_path / "y.onnx", (640, 640), np.zeros((37, 9), np.float32), protos((40, 50, 80, 90)), coco())
    assert "(1, 37, 9)" in message_of(path)
    assert "its metadata name 80 classes" in message_of(path)
