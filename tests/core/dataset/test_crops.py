"""Rectangles around a person: what counts as face, head and bust, how they grow to their bucket, and what is lost."""

from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.dataset.buckets import bucket_for
from maskloss.core.dataset.crop import CropKind, Rectangle
from maskloss.core.dataset.crops import (
    Figure,
    crop_of,
    find_figure,
    grow_to_bucket,
    visible_part,
    weight_outside,
    widen,
)
from maskloss.core.dataset.items import LoadSettings
from maskloss.core.resample import fit_image

SIZE = (400, 300)

SETTINGS = LoadSettings((128, 128), bucket_step=16)


def _mask(*boxes: Rectangle) -> np.ndarray:
    mask_HW = np.zeros(SIZE[::-1], bool)
    for box in boxes:
        mask_HW[box.top : box.bottom, box.left : box.right] = True
    return mask_HW


NOTHING = _mask()

FACE = Rectangle(180, 80, 40, 50)

HAIR = Rectangle(170, 60, 60, 30)

BODY = Rectangle(120, 130, 160, 170)


def _found(face: np.ndarray, hair: np.ndarray = NOTHING, body: np.ndarray | None = None) -> Figure:
    figure = find_figure(face, hair, face | hair | (NOTHING if body is None else body))
    assert figure is not None
    return figure


def test_head_is_face_and_hair_and_bust_reaches_to_the_shoulders() -> None:
    figure = _found(_mask(FACE), _mask(HAIR), _mask(BODY))
    assert figure.face == FACE
    assert figure.head == Rectangle(170, 60, 60, 70)
    # 1.5 faces below the chin, 1.75 to each side of its middle, as far as there is anybody.
    assert figure.bust == Rectangle(120, 60, 160, 130 + 75 - 60)
    assert figure.others == 0
    assert figure.face_px == 40


def test_a_bust_is_no_wider_than_shoulders_are() -> None:
    figure = _found(_mask(FACE), _mask(HAIR), _mask(Rectangle(0, 130, 400, 170)))
    assert figure.bust == Rectangle(112, 60, 287 - 112, 145)


def test_hair_below_the_chin_and_somebody_elses_is_none_of_the_head() -> None:
    long = Rectangle(170, 60, 12, 200)
    figure = _found(_mask(FACE), _mask(long, Rectangle(300, 60, 40, 40)))
    assert figure.head == Rectangle(170, 60, 50, 70)


def test_a_face_in_pieces_is_one_and_specks_are_none() -> None:
    halves = _mask(Rectangle(180, 80, 40, 20), Rectangle(180, 105, 40, 25), Rectangle(10, 10, 2, 2))
    figure = _found(halves)
    assert figure.face == FACE
    assert figure.others == 0


def test_the_largest_face_is_taken_and_others_are_counted() -> None:
    figure = _found(_mask(FACE, Rectangle(20, 20, 30, 40)))
    assert figure.face == FACE
    assert figure.others == 1


def test_a_head_turned_away_is_where_the_hair_is() -> None:
    figure = _found(NOTHING, _mask(HAIR), _mask(BODY))
    assert figure.face is None
    assert figure.face_px == 0
    assert figure.head == HAIR
    assert find_figure(NOTHING, NOTHING, _mask(BODY)) is None


def test_margin_is_in_heads_and_ends_where_the_picture_does() -> None:
    assert widen(Rectangle(10, 20, 30, 40), 16, SIZE) == Rectangle(0, 4, 56, 72)
    assert widen(Rectangle(380, 290, 20, 10), 16, SIZE) == Rectangle(364, 274, 36, 26)


@pytest.mark.parametrize("size", [(61, 83), (100, 40), (400, 300), (17, 200)])
def test_a_rectangle_only_grows_and_stays_inside(size: tuple[int, int]) -> None:
    rectangle = Rectangle(SIZE[0] - size[0], 0, *size)
    for settings in (SETTINGS, LoadSettings((128, 64), enable_bucket=False), LoadSettings((512, 512), True, True)):
        grown = grow_to_bucket(rectangle, SIZE, settings)
        grown.check_inside("a", SIZE)
        assert grown.union(rectangle) == grown


def test_without_buckets_it_grows_to_the_shape_of_the_resolution() -> None:
    settings = LoadSettings((128, 64), enable_bucket=False)
    grown = grow_to_bucket(Rectangle(180, 80, 40, 50), SIZE, settings)
    assert grown == Rectangle(150, 80, 100, 50)
    assert visible_part(grown, bucket_for(grown.size, settings)) == grown


def test_small_ones_that_keep_their_size_have_their_buckets_very_pixels() -> None:
    settings = LoadSettings((512, 512), bucket_no_upscale=True, bucket_step=16)
    grown = grow_to_bucket(Rectangle(180, 80, 41, 50), SIZE, settings)
    assert grown.size == (48, 64)
    assert bucket_for(grown.size, settings) == (48, 64)


def test_visible_is_what_the_bucket_shows() -> None:
    rectangle = Rectangle(40, 20, 130, 100)
    bucket = (64, 64)
    picture_HWC = np.zeros((100, 130, 3), np.uint8)
    picture_HWC[:, :, 0] = np.arange(130)
    columns_W = fit_image(picture_HWC, bucket)[32, :, 0]
    seen = visible_part(rectangle, bucket)
    assert seen == Rectangle(55, 20, 100, 100)
    assert abs(int(columns_W[0]) - 15) <= 1
    assert abs(int(columns_W[-1]) - 114) <= 1


def test_a_crop_holds_the_person_in_every_frame() -> None:
    figures = [_found(_mask(Rectangle(left, 80, 40, 50))) for left in (100, 150, 220)]
    crop = crop_of(figures, CropKind.FACE, 0.2, SIZE, SETTINGS)
    for figure in figures:
        assert crop.union(widen(figure.head, 10, SIZE)) == crop


def test_weight_outside_is_the_sum_of_what_no_rectangle_holds() -> None:
    weights_HW = np.full((10, 20), 0.5, np.float32)
    kept = [Rectangle(0, 0, 10, 10), Rectangle(5, 0, 10, 10)]
    assert weight_outside(weights_HW, kept) == pytest.approx(25)
    assert weight_outside(weights_HW, []) == pytest.approx(100)
    assert weights_HW.min() == 0.5
