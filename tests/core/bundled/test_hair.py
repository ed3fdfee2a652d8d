"""A drawn head whose hair is known: skin, hair and shirt in three colours, with the noise that pictures have."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from maskloss.core.bundled.crown import Crown, look_at_crown
from maskloss.core.bundled.hair import find_face, find_hair
from maskloss.core.bundled.head_view import HeadView, view_head

SKIN, SHIRT = (214, 170, 145), (60, 90, 150)
MIDDLE, FACE_PX = (300, 220), 100


def draw(hair: tuple[int, int, int] | None, long_hair: bool) -> tuple[HeadView, np.ndarray]:
    """The view of the head, and its true hair on the view."""
    canvas_HWC = np.full((700, 600, 3), 120, np.uint8)
    person_HW = np.zeros((700, 600), np.uint8)
    hair_HW = np.zeros((700, 600), np.uint8)
    cv2.rectangle(person_HW, (180, 330), (420, 699), 1, -1)
    cv2.rectangle(person_HW, (270, 240), (330, 340), 1, -1)
    cv2.ellipse(person_HW, MIDDLE, (45, 85), 0, 0, 360, 1, -1)  # a forehead that ends above the mesh's oval
    if hair is not None:
        cv2.ellipse(hair_HW, (300, 190), (70, 85), 0, 180, 360, 1, -1)
        if long_hair:
            cv2.rectangle(hair_HW, (230, 190), (256, 400), 1, -1)
            cv2.rectangle(hair_HW, (344, 190), (370, 400), 1, -1)
        cv2.ellipse(hair_HW, (300, 220), (42, 62), 0, 0, 360, 0, -1)
    person_HW |= hair_HW
    canvas_HWC[person_HW > 0] = SKIN
    canvas_HWC[(person_HW > 0) & (np.arange(700)[:, None] > 330)] = SHIRT
    strands_HW1 = np.repeat(np.random.default_rng(1).uniform(0.6, 1.4, (1, 600, 1)), 700, axis=0)
    canvas_HWC = np.where(hair_HW[..., None] > 0, np.clip(strands_HW1 * (hair or (0, 0, 0)), 0, 255), canvas_HWC)
    noise = np.random.default_rng(0).normal(0, 6, canvas_HWC.shape)
    canvas_HWC = np.clip(canvas_HWC + noise, 0, 255).astype(np.uint8)
    points_N2 = np.zeros((468, 2))
    points_N2[10], points_N2[152] = (300, 170), (300, 270)
    turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    oval_N2 = np.stack([300 + 38 * np.sin(turns), 220 - 50 * np.cos(turns)], axis=1)
    view = view_head(canvas_HWC, points_N2, oval_N2, person_HW.astype(np.float32), np.zeros((700, 600), np.float32))
    true_HW = cv2.warpAffine(hair_HW.astype(np.float32), view.picture_to_view_23, view.oval_HW.shape[::-1]) > 0.5
    return view, true_HW


def overlap(a_HW: np.ndarray, b_HW: np.ndarray) -> float:
    return float((a_HW & b_HW).sum() / (a_HW | b_HW).sum())


@pytest.mark.parametrize("hair", [(40, 28, 20), (190, 150, 70), (130, 40, 25)], ids=["dark", "blond", "red"])
@pytest.mark.parametrize("long_hair", [False, True], ids=["short", "long"])
def test_hair_is_found_whatever_its_colour_and_length(hair: tuple[int, int, int], long_hair: bool):
    view, true_HW = draw(hair, long_hair)
    found_HW = find_hair(view, Crown.HAIR)
    assert overlap(found_HW, true_HW) > 0.75
    assert not found_HW[view.inner_HW].any()
    assert np.count_nonzero(found_HW & ~view.person_HW) < 0.01 * np.count_nonzero(found_HW)


def test_a_bald_head_has_no_hair_and_its_forehead_is_face():
    view, _ = draw(None, False)
    hair_HW = find_hair(view, Crown.HAIR)
    assert hair_HW.mean() < 0.002
    face_HW = find_face(view, hair_HW, look_at_crown(view))
    assert view.up_HW[face_HW].max() > 0.7
    assert (face_HW & view.inner_HW).sum() > 0.95 * view.inner_HW.sum()


def test_a_shirt_of_the_hairs_colour_is_not_hair():
    view, true_HW = draw(SHIRT, False)
    below_HW = view.below_chin_HW > 0.4
    assert find_hair(view, Crown.HAIR)[below_HW].sum() < 0.1 * (view.person_HW & below_HW).sum()
    assert overlap(find_hair(view, Crown.HAIR), true_HW) > 0.6


def test_the_same_head_gives_the_same_hair():
    view, _ = draw((40, 28, 20), True)
    np.testing.assert_array_equal(find_hair(view, Crown.HAIR), find_hair(view, Crown.HAIR))


def test_without_the_person_there_is_no_hair():
    points_N2 = np.zeros((468, 2))
    points_N2[10], points_N2[152] = (300, 170), (300, 270)
    nobody_HW = np.zeros((700, 600), np.float32)
    empty = view_head(np.zeros((700, 600, 3), np.uint8), points_N2, np.zeros((36, 2)) - 500, nobody_HW, nobody_HW)
    assert look_at_crown(empty) is Crown.HAIR
    assert not find_hair(empty, Crown.HAIR).any()


def test_hair_is_followed_out_of_a_mask_that_cuts_it_off_but_not_into_anybody_else():
    whole, true_HW = draw((190, 150, 70), True)
    side_HW = (whole.from_chin_HW > 0.4) & (whole.below_chin_HW > -0.2) & true_HW
    fields = vars(whole)
    cut_off = HeadView(
        **{**fields, "person_HW": whole.person_HW & ~side_HW, "background_HW": ~whole.person_HW | side_HW}
    )
    assert (find_hair(cut_off, Crown.HAIR) & side_HW).sum() > 0.8 * side_HW.sum()
    taken = HeadView(**{**vars(cut_off), "taken_HW": whole.taken_HW | side_HW, "background_HW": ~whole.person_HW})
    assert not find_hair(taken, Crown.HAIR)[side_HW].any()


def test_a_scalp_is_face_and_a_hat_is_neither_hair_nor_face():
    view, hat_HW = draw((40, 28, 20), False)
    bare_HW = find_face(view, np.zeros_like(hat_HW), Crown.BARE)
    covered_HW = find_face(view, np.zeros_like(hat_HW), Crown.HAT)
    top_HW = hat_HW & (view.up_HW > 0.5)
    assert bare_HW[top_HW].mean() > 0.9
    assert not covered_HW[top_HW].any()
    assert not find_hair(view, Crown.BARE).any()
    assert not find_hair(view, Crown.HAT)[top_HW].any()
