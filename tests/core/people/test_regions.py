"""What is pointed at is proposed: by a segmenter that can be pointed, else people, else what a box is around."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from maskloss.core.errors import PersonError, SettingError
from maskloss.core.people.faces import Face
from maskloss.core.people.instances import PersonMask
from maskloss.core.people.regions import MOST_POINTS, Pointing, propose_region

SIZE = (300, 200)


class Halves:
    """Two people: the left and the right third, who are found by themselves."""

    name, identity, needs_faces = "halves", "halves-1", False

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        assert not faces
        masks = [np.zeros(rgb_HWC.shape[:2], np.float32) for _ in range(2)]
        masks[0][:, :100], masks[1][:, 200:] = 1, 0.9
        return [PersonMask(each) for each in masks]


class Pointed(Halves):
    """Proposes a square of 20 px around the first point."""

    def propose(self, rgb_HWC: np.ndarray, pointing: Pointing) -> np.ndarray:
        region_HW = np.zeros(rgb_HWC.shape[:2], np.bool_)
        x, y = map(int, pointing.on[0])
        region_HW[y - 10 : y + 10, x - 10 : x + 10] = True
        return region_HW


def nobody(rgb_HWC: np.ndarray) -> list[Face]:
    raise AssertionError("no face is looked for")


def propose(pointing: Pointing, segmenter=None, rgb_HWC: np.ndarray | None = None) -> np.ndarray:
    picture_HWC = np.zeros((SIZE[1], SIZE[0], 3), np.uint8) if rgb_HWC is None else rgb_HWC
    return propose_region(picture_HWC, segmenter or Halves(), nobody, pointing)


def test_the_people_at_the_points_are_proposed_without_those_beside() -> None:
    left_HW = propose(Pointing(on=((50, 100),)))
    assert (left_HW[:, :100].all(), left_HW[:, 100:].any()) == (True, False)
    both_HW = propose(Pointing(on=((50, 100), (299.5, 199.9))))
    assert both_HW.sum() == 2 * 100 * 200
    assert propose(Pointing(on=((50, 100), (250, 10)), off=((250, 100),))).sum() == 100 * 200
    with pytest.raises(PersonError, match="finds 2 people, and nobody at that point; drag a box"):
        propose(Pointing(on=((150, 100),)))


def test_a_segmenter_that_can_be_pointed_is(tmp_path) -> None:
    region_HW = propose(Pointing(on=((150, 100),)), Pointed())
    assert region_HW.sum() == 400
    assert region_HW[100, 150]


def test_what_a_box_is_around_is_cut_out_by_its_colours() -> None:
    rgb_HWC = np.random.default_rng(0).integers(0, 40, (1000, 1500, 3), dtype=np.uint8)
    blob_HW = cv2.circle(np.zeros((1000, 1500), np.uint8), (700, 500), 150, 1, -1) > 0
    rgb_HWC[blob_HW] += np.array([180, 60, 20], np.uint8)
    region_HW = propose(Pointing(box=(500, 300, 900, 700)), rgb_HWC=rgb_HWC)
    assert (region_HW & blob_HW).sum() / (region_HW | blob_HW).sum() > 0.97
    hole = Pointing(off=((700, 500),), box=(500, 300, 900, 700))
    assert not propose(hole, rgb_HWC=rgb_HWC)[500, 700]


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"off": ((1, 1),)}, {"on": ((1, 1),) * (MOST_POINTS + 1)}, {"box": (5, 5, 8, 50)}, {"box": (50, 5, 10, 50)},
        {"box": (0, 0, float("nan"), 9)},
    ],
)  # fmt: skip
def test_what_points_at_nothing_is_refused(wrong: dict) -> None:
    with pytest.raises(SettingError):
        Pointing(**wrong)


@pytest.mark.parametrize(
    "outside", [Pointing(on=((-1, 5),)), Pointing(on=((5, 201),)), Pointing(box=(0, 0, 301, 200)),
                Pointing(on=((float("nan"), 5),))],
)  # fmt: skip
def test_what_lies_outside_the_picture_is_refused(outside: Pointing) -> None:
    with pytest.raises(SettingError, match="does not lie in the picture"):
        propose(outside)


def test_a_box_around_everything_leaves_nothing_to_tell_it_from() -> None:
    with pytest.raises(SettingError, match="leaves nothing of the picture beside it"):
        propose(Pointing(box=(0, 0, 300, 200)))


def test_pointing_scales_with_its_picture() -> None:
    assert Pointing(((4, 6),), ((2, 2),), (0, 2, 8, 10)).scaled(0.5) == Pointing(((2, 3),), ((1, 1),), (0, 1, 4, 5))
