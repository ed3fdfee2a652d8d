from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.segmenters.yolo_layouts import find_people, read_metadata, without_duplicates

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
