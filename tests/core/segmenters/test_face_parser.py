from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from maskloss.core.parts.part_map import SCHEMES, PartMap, PartScheme
from maskloss.core.people.faces import Face
from maskloss.core.people.instances import PersonMask
from maskloss.core.segmenters.face_parser import HeadsOnPeople

SCHEME = SCHEMES["celebamask_19_segformer"]
SKIN, HAIR, CLOTH = (SCHEME.class_id(name) for name in ("skin", "hair", "cloth"))


class ColourParser:
    """Red is skin, blue is hair; notes the pictures it is asked about."""

    name = "colours"
    identity = "colours/1"
    approximate = False
    scheme: PartScheme = SCHEME
    notes = ("a note",)

    def __init__(self) -> None:
        self.seen: list[tuple[int, ...]] = []

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        self.seen.append(rgb_HWC.shape)
        label_HW = np.zeros(rgb_HWC.shape[:2], np.uint8)
        label_HW[rgb_HWC[..., 0] > 128] = SKIN
        label_HW[rgb_HWC[..., 2] > 128] = HAIR
        return PartMap(label_HW, SCHEME)


class Given:
    """Faces and masks that are known beforehand."""

    name = "given"
    default_min_similarity = 0.5

    def __init__(self, identity: str, faces: list[Face], masks: list[PersonMask]) -> None:
        self.identity, self._faces, self._masks = identity, faces, masks

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        return self._faces

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        return 1.0

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        return self._masks


def face(index: int, x0: float, y0: float, side: float = 20) -> Face:
    return Face(index, (x0, y0, x0 + side, y0 + side), 0.9, np.zeros((6, 2)), None, np.ones(2, np.float32))


def person(index: int, x0: int, y0: int, x1: int, y1: int, probability: float = 0.9) -> PersonMask:
    probability_HW = np.zeros((120, 200), np.float32)
    probability_HW[y0:y1, x0:x1] = probability
    return PersonMask(probability_HW, index)


def test_heads_are_parsed_apart_and_people_below_are_cloth() -> None:
    rgb_HWC = np.zeros((120, 200, 3), np.uint8)
    rgb_HWC[40:60, 40:60, 0] = 255
    rgb_HWC[32:40, 40:60, 2] = 255
    rgb_HWC[100:110, 150:160, 0] = 255  # red far from any face
    parser, given = ColourParser(), Given("g", [face(0, 40, 40)], [person(0, 30, 30, 70, 120)])
    parts = HeadsOnPeople(parser, given, given).segment(rgb_HWC)
    assert parser.seen == [(40, 40, 3)]
    assert parts.approximate
    expected_HW = np.zeros((120, 200), np.uint8)
    expected_HW[30:120, 30:70] = CLOTH
    expected_HW[40:60, 40:60] = SKIN
    expected_HW[32:40, 40:60] = HAIR
    np.testing.assert_array_equal(parts.label_HW, expected_HW)


def test_a_head_is_not_written_over_a_more_probable_neighbour() -> None:
    rgb_HWC = np.zeros((120, 200, 3), np.uint8)
    rgb_HWC[40:60, 40:80, 0] = 255
    masks = [person(0, 30, 30, 70, 120, 0.8), person(1, 60, 30, 100, 120, 0.9)]
    given = Given("g", [face(0, 40, 40)], masks)
    parts = HeadsOnPeople(ColourParser(), given, given).segment(rgb_HWC)
    assert (parts.label_HW[40:60, 40:60] == SKIN).all()
    assert (parts.label_HW[40:60, 60:70] == CLOTH).all()


def test_a_face_at_the_edge_or_without_a_mask_is_parsed_too() -> None:
    rgb_HWC = np.zeros((120, 200, 3), np.uint8)
    rgb_HWC[0:10, 0:10, 0] = 255
    rgb_HWC[100:120, 180:200, 0] = 255
    parser, given = ColourParser(), Given("g", [face(0, -10, -10), face(1, 180, 100)], [])
    parts = HeadsOnPeople(parser, given, given).segment(rgb_HWC)
    assert parser.seen == [(40, 40, 3), (40, 40, 3)]
    np.testing.assert_array_equal(parts.label_HW == SKIN, rgb_HWC[..., 0] == 255)


def test_a_face_outside_the_picture_changes_nothing() -> None:
    given = Given("g", [face(0, 400, 400)], [])
    assert not HeadsOnPeople(ColourParser(), given, given).segment(np.zeros((120, 200, 3), np.uint8)).label_HW.any()


def test_without_a_face_nobody_is_there() -> None:
    given = Given("g", [], [person(0, 0, 0, 50, 50)])
    assert not HeadsOnPeople(ColourParser(), given, given).segment(np.zeros((120, 200, 3), np.uint8)).label_HW.any()


def test_identity_and_notes_are_of_all_three() -> None:
    heads = HeadsOnPeople(ColourParser(), Given("faces/1", [], []), Given("people/1", [], []))
    assert all(word in heads.identity for word in ("colours/1", "faces/1", "people/1"))
    assert heads.notes == ("a note",)
    assert heads.approximate
