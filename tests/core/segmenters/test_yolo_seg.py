from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.segmenters.yolo_seg import Letterbox, YoloPersonSegmenter

from .tiny_onnx import yolo
from .yolo_rows import EVERYWHERE, coco, covered, protos, row

pytest.importorskip("onnxruntime")

helper = pytest.importorskip("onnx").helper


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
