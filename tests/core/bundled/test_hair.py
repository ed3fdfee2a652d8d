"""A drawn head whose hair is known: skin, hair and shirt in three colours, with the noise that pictures have."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
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
    canvas_HWC[hair_HW > 0] = hair or 0
    noise = np.random.default_rng(0).normal(0, 6, canvas_HWC.shape)
    canvas_HWC = np.clip(canvas_HWC + noise, 0, 255).astype(np.uint8)
    points_N2 = np.zeros((468, 2))
    points_N2[10], points_N2[152] = (300, 170), (300, 270)
    turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    oval_N2 = np.stack([300 + 38 * np.sin(turns), 220 - 50 * np.cos(turns)], axis=1)
    view = view_head(canvas_HWC, points_N2, oval_N2, person_HW > 0)
    true_HW = cv2.warpAffine(hair_HW.astype(np.float32), view.picture_to_view_23, view.oval_HW.shape[::-1]) > 0.5
    return view, true_HW


def overlap(a_HW: np.ndarray, b_HW: np.ndarray) -> float:
    return float((a_HW & b_HW).sum() / (a_HW | b_HW).sum())


@pytest.mark.parametrize("hair", [(40, 28, 20), (190, 150, 70), (130, 40, 25)], ids=["dark", "blond", "red"])
@pytest.mark.parametrize("long_hair", [False, True], ids=["short", "long"])
def test_hair_is_found_whatever_its_colour_and_length(hair: tuple[int, int, int], long_hair: bool):
    view, true_HW = draw(hair, long_hair)
    found_HW = find_hair(view)
    assert overlap(found_HW, true_HW) > 0.75
    assert not found_HW[view.inner_HW].any()
    assert not found_HW[~view.person_HW].any()


def test_a_bald_head_has_no_hair_and_its_forehead_is_face():
    view, _ = draw(None, False)
    hair_HW = find_hair(view)
    assert hair_HW.mean() < 0.002
    face_HW = find_face(view, hair_HW)
    assert view.up_HW[face_HW].max() > 0.7
    assert (face_HW & view.inner_HW).sum() > 0.95 * view.inner_HW.sum()


def test_a_shirt_of_the_hairs_colour_is_not_hair():
    view, true_HW = draw(SHIRT, False)
    below_HW = view.below_chin_HW > 0.4
    assert find_hair(view)[below_HW].sum() < 0.1 * (view.person_HW & below_HW).sum()
    assert overlap(find_hair(view), true_HW) > 0.6


def test_the_same_head_gives_the_same_hair():
    view, _ = draw((40, 28, 20), True)
    np.testing.assert_array_equal(find_hair(view), find_hair(view))


def test_without_the_person_there_is_no_hair():
    points_N2 = np.zeros((468, 2))
    points_N2[10], points_N2[152] = (300, 170), (300, 270)
    empty = view_head(np.zeros((700, 600, 3), np.uint8), points_N2, np.zeros((36, 2)) - 500, np.zeros((700, 600), bool))
    assert not find_hair(empty).any()
