"""Hair belongs to the one head it hangs on, and is nobody's in doubt."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.masks.known_hair import seen_in
from maskloss.core.people.instances import PersonMask, isolate_person
from maskloss.core.people.own_hair import SeenHair, add_own_hair

from .plain_people import face

SHAPE = (90, 140)
# Two people with faces 20 pixels high and wide, six of them apart.
LEFT, RIGHT = face(0, (10, 10, 30, 30)), face(1, (100, 10, 120, 30))
OWN, OTHER = (8, 5, 34, 90), (98, 5, 124, 90)
HAIR = (34, 8, 40, 60)  # beside the left head and down over the shoulder, next to the mask

Box = tuple[int, int, int, int]


def area(*boxes: Box) -> np.ndarray:
    drawn_HW = np.zeros(SHAPE, bool)
    for x0, y0, x1, y1 in boxes:
        drawn_HW[y0:y1, x0:x1] = True
    return drawn_HW


def mask(box: Box, owner: int | None) -> PersonMask:
    return PersonMask(area(box).astype(np.float32), owner)


def added(*hair: Box, people: tuple[Box, ...] = (OWN, OTHER), also: tuple[PersonMask, ...] = ()) -> np.ndarray:
    """What comes to the left person's mask."""
    masks = [mask(OWN, 0), mask(OTHER, 1), *also]
    seen = SeenHair(area(*hair), area(*people) & ~area(*hair))
    whole_HW = add_own_hair(area(OWN), seen, [LEFT, RIGHT], masks, 0)
    assert whole_HW[area(OWN)].all()
    return whole_HW & ~area(OWN)


def test_hair_on_this_head_alone_comes_to_the_mask_and_what_the_mask_had_stays():
    np.testing.assert_array_equal(added(HAIR, (12, 5, 30, 9)), area(HAIR))


def test_hair_that_crosses_to_another_head_is_nobodys():
    assert not added(HAIR, (34, 8, 98, 14)).any()


def test_the_other_persons_hair_stays_out():
    assert not added((124, 8, 130, 60), (94, 8, 98, 60)).any()


def test_hair_that_meets_no_head_or_not_the_mask_stays_out():
    assert not added((34, 60, 40, 88)).any()
    assert not added((36, 8, 42, 60)).any()


@pytest.mark.parametrize("owner", [1, None])
def test_hair_in_any_other_mask_stays_out(owner: int | None):
    theirs = (34, 30, 60, 90)
    np.testing.assert_array_equal(added(HAIR, also=(mask(theirs, owner),)), area((34, 8, 40, 30)))


def test_hair_on_a_person_in_no_mask_stays_out():
    """Somebody whose face is not seen stands right beside: the hair between is theirs as likely."""
    assert not added(HAIR, people=(OWN, OTHER, (40, 8, 60, 90))).any()


def test_more_than_one_head_grows_stays_out():
    assert added((34, 8, 50, 58)).any()
    assert not added((34, 8, 54, 58)).any()


def test_hair_far_below_the_face_stays_out():
    shape, low = (200, 140), np.zeros((200, 140), bool)
    low[8:200, 34:36] = True
    own_HW = np.zeros(shape, bool)
    own_HW[5:, 8:34] = True
    whole_HW = add_own_hair(own_HW, SeenHair(low, own_HW), [LEFT], [PersonMask(own_HW.astype(np.float32), 0)], 0)
    rows = np.flatnonzero((whole_HW & ~own_HW).any(axis=1))
    assert rows.min() == 8
    assert rows.max() in range(96, 101)  # four faces below its middle, at 20


def test_where_in_the_picture_people_stand_does_not_matter():
    hair = (HAIR, (12, 5, 30, 9), (90, 20, 98, 60), (34, 64, 37, 88))
    around = ((41, 300), (23, 200))
    masks = [PersonMask(np.pad(mask(*each).probability_HW, around), each[1]) for each in ((OWN, 0), (OTHER, 1))]
    seen = SeenHair(np.pad(area(*hair), around), np.pad(area(OWN, OTHER) & ~area(*hair), around))
    faces = [face(0, (33, 51, 53, 71)), face(1, (123, 51, 143, 71))]
    whole_HW = add_own_hair(np.pad(area(OWN), around), seen, faces, masks, 0)
    np.testing.assert_array_equal(whole_HW, np.pad(area(OWN) | added(*hair), around))


def test_an_empty_mask_stays_empty():
    nobody_HW = np.zeros(SHAPE, bool)
    assert not add_own_hair(nobody_HW, SeenHair(area(HAIR), area(OWN)), [LEFT], [], 0).any()


@pytest.mark.models
def test_in_a_photograph_long_fair_hair_comes_back_and_nobody_elses(sample_photograph: Callable[[int], np.ndarray]):
    """Of three women the net ends the right-hand one's mask in the middle of her long hair."""
    rgb_HWC = sample_photograph(1)
    faces = BundledFaceRecognizer().detect(rgb_HWC)
    masks = BundledPersonSegmenter().segment(rgb_HWC, faces)
    shares = [new_HW.sum() / faces[chosen].side_px ** 2 for chosen, new_HW in _grown(rgb_HWC, faces, masks)]
    assert len(shares) == 3
    assert max(shares[:2]) < 0.05
    assert 1.0 < shares[2] < 2.0


@pytest.mark.models
def test_in_a_group_nobody_gets_what_lies_in_another_mask(t1_photograph: np.ndarray):
    faces = BundledFaceRecognizer().detect(t1_photograph)
    masks = BundledPersonSegmenter().segment(t1_photograph, faces)
    grown = _grown(t1_photograph, faces, masks)
    assert len(grown) == 6
    for chosen, new_HW in grown:
        assert new_HW.sum() < 0.1 * faces[chosen].side_px ** 2
        for each in masks:
            assert each.face_index == chosen or not (new_HW & (each.probability_HW > 0.5)).any()


def _grown(rgb_HWC, faces, masks) -> list[tuple[int, np.ndarray]]:
    """What comes to each person's mask in a photograph."""
    seen = seen_in(BundledPartSegmenter().segment(rgb_HWC))
    people = {each.index: isolate_person(faces, masks, each.index) for each in faces}
    return [(chosen, add_own_hair(own, seen, faces, masks, chosen) & ~own) for chosen, own in people.items()]
