from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.errors import ImageError, InternalError, PersonError, SettingError
from maskloss.core.people.instances import PersonMask, apply_instance, isolate_person

from .plain_people import face

# A picture 100 wide and 60 high with a head at the left and one at the right.
SHAPE = (60, 100)
LEFT = face(0, (10, 5, 30, 25))
RIGHT = face(1, (70, 5, 90, 25))
FACES = [LEFT, RIGHT]


def _mask(*boxes: tuple[int, int, int, int], p: float = 1.0, owner: int | None = None) -> PersonMask:
    """A mask that is `p` in the boxes (x0, y0, x1, y1)."""
    probability_HW = np.zeros(SHAPE, np.float32)
    for x0, y0, x1, y1 in boxes:
        probability_HW[y0:y1, x0:x1] = p
    return PersonMask(probability_HW, owner)


def _area(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    return _mask(*boxes).probability_HW > 0.5


LEFT_PERSON, RIGHT_PERSON = (5, 0, 40, 60), (60, 0, 95, 60)


# --- whose mask it is


@pytest.mark.parametrize("order", [1, -1])
def test_masks_go_to_the_faces_they_cover(order: int) -> None:
    masks = [_mask(LEFT_PERSON), _mask(RIGHT_PERSON)][::order]
    np.testing.assert_array_equal(isolate_person(FACES, masks, 0), _area(LEFT_PERSON))
    np.testing.assert_array_equal(isolate_person(FACES, masks, 1), _area(RIGHT_PERSON))


def test_a_mask_that_knows_its_face_goes_to_it() -> None:
    # Both masks cover both heads; only face_index tells them apart, and the more probable wins each head.
    left = PersonMask(np.where(_area(LEFT_PERSON), 0.9, 0.6).astype(np.float32), 0)
    right = PersonMask(np.where(_area(RIGHT_PERSON), 0.9, 0.6).astype(np.float32), 1)
    result_HW = isolate_person(FACES, [right, left], 1)
    assert result_HW[_area(RIGHT_PERSON)].all()
    assert not result_HW[_area(LEFT_PERSON)].any()


def test_several_masks_of_one_face_are_one_person() -> None:
    halves = [_mask((5, 0, 40, 30), owner=0), _mask((5, 25, 40, 60), owner=0)]
    np.testing.assert_array_equal(isolate_person([LEFT], halves, 0), _area(LEFT_PERSON))


def test_of_equal_covers_the_smaller_mask_is_the_persons_own() -> None:
    group = _mask((0, 0, 100, 60))
    own = _mask(LEFT_PERSON)
    # The group's mask is left for the right face, and the left person's pixels are not in it.
    np.testing.assert_array_equal(isolate_person(FACES, [group, own], 0), _area(LEFT_PERSON))
    assert not isolate_person(FACES, [group, own], 1)[_area(LEFT_PERSON)].any()


def test_the_face_oval_decides_not_the_middle_of_the_box() -> None:
    # A hand in front of the middle of the face belongs to somebody else; the ring around it is hers.
    ring = _mask(LEFT_PERSON)
    ring.probability_HW[13:17, 17:23] = 0
    hand = _mask((17, 13, 23, 17), (40, 13, 60, 60))
    result_HW = isolate_person([LEFT], [hand, ring], 0)
    assert result_HW[_area(LEFT_PERSON) & ~_area((17, 13, 23, 17))].all()
    assert not result_HW[13:17, 17:23].any()


def test_an_oval_of_points_is_used_when_there_is_one() -> None:
    # Only the lower half of the box is face: a mask of the upper half covers none of it.
    oval_N2 = np.array([[10, 15], [30, 15], [30, 25], [10, 25]], float)
    low = type(LEFT)(0, LEFT.box, 0.9, LEFT.keypoints_K2, oval_N2, LEFT.embedding)
    with pytest.raises(PersonError, match="covers 0% of it, and 50% is needed"):
        isolate_person([low], [_mask((10, 5, 30, 15))], 0)
    assert isolate_person([low], [_mask((10, 15, 30, 26))], 0).any()


# --- what of it is kept


def test_overlap_goes_to_the_more_probable() -> None:
    near, far = (5, 0, 55, 60), (45, 0, 95, 60)
    masks = [_mask(near, p=0.8), _mask(far, p=0.9)]
    np.testing.assert_array_equal(isolate_person(FACES, masks, 0), _area((5, 0, 45, 60)))
    np.testing.assert_array_equal(isolate_person(FACES, masks, 1), _area(far))


def test_equally_sure_overlap_goes_to_the_smaller_mask() -> None:
    masks = [_mask((5, 0, 60, 60)), _mask((50, 0, 95, 60))]  # 55 and 45 wide, 10 shared
    np.testing.assert_array_equal(isolate_person(FACES, masks, 0), _area((5, 0, 50, 60)))
    np.testing.assert_array_equal(isolate_person(FACES, masks, 1), _area((50, 0, 95, 60)))


def test_somebody_without_a_face_keeps_their_pixels_too() -> None:
    turned_away = _mask((30, 20, 55, 60), p=0.9)
    result_HW = isolate_person([LEFT], [_mask((5, 0, 40, 60), p=0.8), turned_away], 0)
    np.testing.assert_array_equal(result_HW, _area((5, 0, 40, 60)) & ~_area((30, 20, 55, 60)))


def test_a_part_of_the_person_takes_nothing_away() -> None:
    shirt = _mask((10, 30, 30, 55))
    np.testing.assert_array_equal(isolate_person([LEFT], [_mask(LEFT_PERSON), shirt], 0), _area(LEFT_PERSON))


def test_small_specks_go_and_large_limbs_stay() -> None:
    body, limb, speck = (5, 0, 40, 50), (50, 0, 60, 10), (70, 40, 75, 44)  # 1750, 100 (5.4 %) and 20 px
    result_HW = isolate_person([LEFT], [_mask(body, limb, speck)], 0)
    np.testing.assert_array_equal(result_HW, _area(body, limb))


def test_a_small_head_stays_beside_a_large_body() -> None:
    head, body = (12, 7, 28, 10), (0, 28, 100, 60)
    tiny = face(0, (14, 6, 26, 11))
    result_HW = isolate_person([tiny], [_mask(head, body)], 0)  # 48 of 3248 px: 1.5 %
    np.testing.assert_array_equal(result_HW, _area(head, body))


def test_holes_below_one_percent_are_filled_larger_ones_and_bays_stay() -> None:
    mask = _mask((0, 0, 80, 60))  # 4800 px: 1 % is 48
    mask.probability_HW[30:36, 10:16] = 0  # 36 px, filled
    mask.probability_HW[30:38, 30:38] = 0  # 64 px, a real gap
    mask.probability_HW[55:60, 60:65] = 0  # reaches the edge
    mask.probability_HW[20:24, 76:80] = 0  # reaches the background beside the person
    result_HW = isolate_person([LEFT], [mask], 0)
    assert result_HW[30:36, 10:16].all()
    assert not result_HW[30:38, 30:38].any()
    assert not result_HW[55:60, 60:65].any()
    assert not result_HW[20:24, 76:80].any()


def test_a_hole_that_is_somebody_elses_is_not_filled() -> None:
    mask = _mask((0, 0, 80, 60))
    mask.probability_HW[30:36, 10:16] = 0
    other = _mask((10, 30, 16, 36), owner=1)
    result_HW = isolate_person([LEFT, face(1, (10, 30, 16, 36))], [mask, other], 0)
    assert not result_HW[30:36, 10:16].any()


def test_where_in_the_picture_people_stand_does_not_matter() -> None:
    masks = [_mask(LEFT_PERSON, (2, 30, 90, 40), p=0.8, owner=0), _mask(RIGHT_PERSON, p=0.9, owner=1)]
    masks[0].probability_HW[48:50, 20:24] = 0
    around = ((31, 7), (13, 29))
    moved = [PersonMask(np.pad(each.probability_HW, around), each.face_index) for each in masks]
    faces = [face(0, (23, 36, 43, 56)), face(1, (83, 36, 103, 56))]
    for chosen in (0, 1):
        np.testing.assert_array_equal(
            isolate_person(faces, moved, chosen), np.pad(isolate_person(FACES, masks, chosen), around)
        )


# --- when it must not be done


def test_a_face_without_a_mask_is_an_error() -> None:
    with pytest.raises(PersonError, match=r"Face 1 has no person mask: of 1 masks, .* covers 0% of it"):
        isolate_person(FACES, [_mask(LEFT_PERSON)], 1)
    with pytest.raises(PersonError, match="Face 0 has no person mask: the person segmenter found nobody"):
        isolate_person(FACES, [], 0)


def test_one_mask_over_two_people_is_never_taken_for_one() -> None:
    both = [_mask((0, 0, 100, 60))]
    with pytest.raises(PersonError, match="its mask also holds face 1, so somebody else would be kept"):
        isolate_person(FACES, both, 0)
    with pytest.raises(PersonError, match=r"Face 1 has no person mask: of 1 masks, .* covers 0% of it"):
        isolate_person(FACES, both, 1)


def test_a_face_detected_twice_is_not_somebody_else() -> None:
    again = face(1, (12, 6, 31, 25))
    np.testing.assert_array_equal(isolate_person([LEFT, again], [_mask(LEFT_PERSON)], 0), _area(LEFT_PERSON))


def test_a_head_that_another_mask_wins_is_an_error() -> None:
    masks = [_mask((5, 0, 40, 60), p=0.6, owner=0), _mask((0, 0, 95, 30), p=0.9, owner=1)]
    with pytest.raises(PersonError, match="Face 0 has no person mask of its own"):
        isolate_person(FACES, masks, 0)


def test_a_face_that_is_not_there() -> None:
    with pytest.raises(PersonError, match="Face 2 was asked for, but the picture shows 2 faces"):
        isolate_person(FACES, [_mask(LEFT_PERSON)], 2)


def test_masks_of_different_sizes() -> None:
    small = PersonMask(np.zeros((30, 50), np.float32))
    with pytest.raises(ImageError, match="they are 100 x 60 and 50 x 30 pixels"):
        isolate_person(FACES, [_mask(LEFT_PERSON), small], 0)


def test_a_mask_must_be_float32() -> None:
    with pytest.raises(InternalError, match=r"float32 \(H,W\), got bool"):
        PersonMask(np.zeros(SHAPE, bool))


def test_a_face_outside_the_picture_has_no_mask() -> None:
    with pytest.raises(PersonError, match="Face 0 has no person mask"):
        isolate_person([face(0, (200, 5, 220, 25))], [_mask(LEFT_PERSON)], 0)


# --- apply_instance

WEIGHTS = np.full((1, 21), 128 / 255, np.float32)
ONE = np.zeros((1, 21), bool)
ONE[0, 10] = True


def test_without_dilation_and_feather_the_tiers_stay_exact() -> None:
    result_HW = apply_instance(WEIGHTS, ONE)
    assert result_HW.dtype == np.float32
    np.testing.assert_array_equal(result_HW, np.where(ONE, WEIGHTS, 0))


@pytest.mark.parametrize(
    "instance_HW",
    [np.array([[0.49, 0.5, 1.0]], np.float32), np.array([[127, 128, 255]], np.uint8), np.array([[False, True, True]])],
)
def test_a_soft_instance_counts_from_one_half(instance_HW: np.ndarray) -> None:
    weights_HW = np.full((1, 3), 0.25, np.float32)
    np.testing.assert_array_equal(apply_instance(weights_HW, instance_HW), [[0.0, 0.25, 0.25]])


def test_dilation_is_in_pixels() -> None:
    result_HW = apply_instance(WEIGHTS, ONE, dilate_px=3)
    assert np.nonzero(result_HW[0])[0].tolist() == [7, 8, 9, 10, 11, 12, 13]
    assert set(np.unique(result_HW)) == {np.float32(0), WEIGHTS[0, 0]}


def test_feather_falls_off_as_a_gaussian_and_ends() -> None:
    result_HW = apply_instance(np.ones_like(WEIGHTS), ONE, feather_px=6)
    # sigma is 2 px: exp(-d^2 / 8) at distance d.
    np.testing.assert_allclose(result_HW[0, 10:17], np.exp(-(np.arange(7) ** 2) / 8), rtol=1e-5)
    assert not result_HW[0, 17:].any()
    np.testing.assert_array_equal(result_HW[0, :10], result_HW[0, 20:10:-1])


def test_feather_starts_where_dilation_ends() -> None:
    result_HW = apply_instance(np.ones_like(WEIGHTS), ONE, dilate_px=2, feather_px=3)
    np.testing.assert_allclose(result_HW[0, 10:16], [1, 1, 1, *np.exp(-(np.arange(1, 4) ** 2) / 2)], rtol=1e-5)


@pytest.mark.parametrize(("dilate_px", "feather_px"), [(0, 0), (5, 0), (0, 5)])
def test_nobody_gives_nothing(dilate_px: int, feather_px: int) -> None:
    assert not apply_instance(WEIGHTS, np.zeros_like(ONE), dilate_px, feather_px).any()


def test_the_arguments_are_left_alone() -> None:
    weights_HW, instance_HW = WEIGHTS.copy(), ONE.copy()
    apply_instance(weights_HW, instance_HW, 2, 2)
    np.testing.assert_array_equal(weights_HW, WEIGHTS)
    np.testing.assert_array_equal(instance_HW, ONE)


def test_sizes_must_agree_and_distances_be_positive() -> None:
    with pytest.raises(ImageError, match="same size, but they are 21 x 1 and 3 x 2 pixels"):
        apply_instance(WEIGHTS, np.zeros((2, 3), bool))
    with pytest.raises(SettingError, match="dilate_px must be 0 or more pixels, got -1"):
        apply_instance(WEIGHTS, ONE, dilate_px=-1)
    with pytest.raises(SettingError, match="feather_px must be 0 or more pixels, got nan"):
        apply_instance(WEIGHTS, ONE, feather_px=float("nan"))
