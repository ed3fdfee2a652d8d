from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.draw.overlay import (
    CHOSEN,
    OTHERS,
    face_overlay,
    heat_map,
    part_colours,
    parts_overlay,
    weight_colours,
    weights_overlay,
)
from maskloss.core.errors import ImageError
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.people.decision import FaceScore, Outcome, PersonDecision

GREY = np.full((300, 400, 3), 128, np.uint8)


def _decision(*boxes: tuple[float, float, float, float], chosen: int | None = None) -> PersonDecision:
    faces = tuple(FaceScore(i, box, 0.5, i == chosen) for i, box in enumerate(boxes))
    return PersonDecision(faces, Outcome.EMPTY if chosen is None else Outcome.MATCH, chosen, "")


def _count(picture_HWC: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((picture_HWC == np.array(colour)).all(axis=-1).sum())


def test_the_chosen_face_is_green_and_the_others_red() -> None:
    picture_HWC = face_overlay(GREY, _decision((40, 100, 90, 160), (200, 100, 250, 160), chosen=1))
    assert (picture_HWC.shape, picture_HWC.dtype) == (GREY.shape, np.uint8)
    assert _count(picture_HWC[:, :150], CHOSEN) == 0
    assert _count(picture_HWC[:, 150:], OTHERS) == 0
    assert picture_HWC[130, 40].tolist() == list(OTHERS)
    assert picture_HWC[130, 200].tolist() == list(CHOSEN)
    assert picture_HWC[130, 65].tolist() == [128, 128, 128]


def test_nobody_is_green_when_nobody_is_chosen_and_the_picture_is_left_alone() -> None:
    before = GREY.copy()
    picture_HWC = face_overlay(GREY, _decision((40, 100, 90, 160)))
    assert _count(picture_HWC, CHOSEN) == 0
    np.testing.assert_array_equal(GREY, before)
    np.testing.assert_array_equal(face_overlay(GREY, _decision()), GREY)
    # Faces beside a crop.
    beside = _decision((-90, 100, -40, 160), (400, 100, 450, 160), (40, -60, 90, 0), (40, 300, 90, 360))
    np.testing.assert_array_equal(face_overlay(GREY, beside), GREY)


def test_a_label_at_the_edge_stays_in_the_picture() -> None:
    # Above the face there is no room at the top, and to the right none at the side: the label still is there whole.
    corner = face_overlay(GREY, _decision((360, 0, 400, 40)))
    middle = face_overlay(GREY, _decision((180, 100, 220, 140)))
    outline = 4 * 2 * 40
    assert abs(_count(corner, OTHERS) - _count(middle, OTHERS)) <= outline
    assert _count(corner, OTHERS) > 300


def test_two_labels_do_not_cover_each_other() -> None:
    apart = face_overlay(GREY, _decision((50, 100, 90, 140), (250, 100, 290, 140)))
    close = face_overlay(GREY, _decision((50, 100, 90, 140), (60, 104, 100, 144)))
    # Were one label over the other, a third of the red ground would be missing.
    assert _count(close, OTHERS) > 0.85 * _count(apart, OTHERS)


def test_parts_keep_the_size_dim_the_background_and_tint_the_rest() -> None:
    labels_HW = np.zeros((300, 400), np.uint8)
    labels_HW[20:60, 100:140] = 1
    parts = PartMap(labels_HW, SCHEMES["maskloss_4"])
    picture_HWC = parts_overlay(GREY, parts, opacity=0.5)
    assert picture_HWC.shape == GREY.shape
    assert picture_HWC[100, 20].tolist() == [64, 64, 64]
    expected = (part_colours(parts)[1].astype(float) + 128) / 2
    assert abs(picture_HWC[40, 120] - expected).max() <= 1


def test_the_legend_names_only_what_is_there_and_says_approximate() -> None:
    labels_HW = np.zeros((300, 400), np.uint8)
    labels_HW[20:60, 100:140] = 1
    one = parts_overlay(GREY, PartMap(labels_HW, SCHEMES["maskloss_4"]))
    labels_HW[20:60, 200:240] = 3
    two = parts_overlay(GREY, PartMap(labels_HW, SCHEMES["maskloss_4"]))
    said = parts_overlay(GREY, PartMap(labels_HW, SCHEMES["maskloss_4"], approximate=True))
    body = tuple(int(v) for v in part_colours(PartMap(labels_HW, SCHEMES["maskloss_4"]))[3])
    assert _count(one[240:], body) == 0
    assert _count(two[240:], body) > 50
    assert not np.array_equal(two[240:], said[240:])
    np.testing.assert_array_equal(two[:240], said[:240])


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_class_has_a_colour_of_its_own(scheme: object) -> None:
    colours = part_colours(PartMap(np.zeros((1, 1), np.uint8), scheme))  # type: ignore[arg-type]
    assert len({tuple(colour) for colour in colours.tolist()}) == len(colours)


def test_weights_are_dark_at_zero_and_bright_at_one() -> None:
    colours_HWC = weight_colours(np.array([[0.0, 80 / 255, 128 / 255, 1.0]], np.float32)).astype(int)
    brightness = colours_HWC.sum(axis=-1)[0]
    assert brightness[0] < 20
    assert (np.diff(brightness) > 50).all()


def test_weights_overlay_blends_and_lists_the_tiers() -> None:
    weights_HW = np.zeros((300, 400), np.float32)
    weights_HW[:150] = 1.0
    picture_HWC = weights_overlay(GREY, weights_HW, opacity=0.5)
    one = weight_colours(np.ones((1, 1), np.float32))[0, 0]
    assert abs(picture_HWC[10, 10].astype(float) - (one / 2 + 64)).max() <= 1
    legend = picture_HWC[260:]
    assert _count(legend, tuple(int(v) for v in one)) > 50
    body = weight_colours(np.full((1, 1), 128 / 255, np.float32))[0, 0]
    assert _count(legend, tuple(int(v) for v in body)) == 0


def test_soft_weights_get_a_scale_instead_of_hundreds_of_entries() -> None:
    weights_HW = np.tile(np.linspace(0, 1, 400, dtype=np.float32), (300, 1))
    middle = tuple(int(v) for v in weight_colours(np.full((1, 1), 128 / 255, np.float32))[0, 0])
    assert _count(weights_overlay(GREY, weights_HW)[260:], middle) > 50


def test_heat_map_shows_every_cell_as_a_block() -> None:
    weights_hw = np.array([[0.0, 0.5], [1.0, 0.25]], np.float32)
    picture_HWC = heat_map(weights_hw, (8, 4))
    expected = weight_colours(weights_hw).repeat(2, axis=0).repeat(4, axis=1)
    np.testing.assert_array_equal(picture_HWC, expected)
    over_HWC = heat_map(weights_hw, (8, 4), np.zeros((4, 8, 3), np.uint8), opacity=0.5)
    assert abs(over_HWC.astype(float) - expected / 2).max() <= 1


def test_sizes_must_agree() -> None:
    small = np.zeros((30, 40), np.uint8)
    with pytest.raises(ImageError, match="The part map must have the picture's size, but they are 40 x 30 and 400 x"):
        parts_overlay(GREY, PartMap(small, SCHEMES["maskloss_4"]))
    with pytest.raises(ImageError, match="The weights must have the picture's size"):
        weights_overlay(GREY, small.astype(np.float32))
    with pytest.raises(ImageError, match="The heat map must have the picture's size"):
        heat_map(small.astype(np.float32), (10, 10), GREY)


@pytest.mark.parametrize("size", [(16, 16), (40, 400), (400, 40)])
def test_pictures_of_any_size_can_be_drawn(size: tuple[int, int]) -> None:
    rgb_HWC = np.zeros((size[1], size[0], 3), np.uint8)
    labels_HW = (np.arange(size[0] * size[1]).reshape(size[1], size[0]) % 28).astype(np.uint8)
    assert parts_overlay(rgb_HWC, PartMap(labels_HW, SCHEMES["sapiens_goliath_28"])).shape == rgb_HWC.shape
    assert weights_overlay(rgb_HWC, labels_HW / np.float32(255)).shape == rgb_HWC.shape
    assert face_overlay(rgb_HWC, _decision((2, 2, 9, 9), chosen=0)).shape == rgb_HWC.shape
