"""A person segmenter adds to the bodies of every part segmenter that it is accepted for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.errors import SettingError
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.parts.tiers import TierWeights, weigh_parts
from maskloss.core.people.faces import Face
from maskloss.core.people.instances import PersonMask
from maskloss.core.segmenters.bodies import PartsWithBodies, with_bodies
from maskloss.core.segmenters.face_parser import HeadsOnPeople

RGB_HWC = np.zeros((30, 40, 3), np.uint8)


class Clothes:
    """A body parser that sees a face and a shirt."""

    name = "clothes"
    identity = "clothes-1"
    approximate = False
    parallel = True
    forbids_biometrics = True
    scheme = SCHEMES["atr_18"]

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        label_HW = np.zeros(rgb_HWC.shape[:2], np.uint8)
        label_HW[2:8, 10:18] = self.scheme.class_id("Face")
        label_HW[8:14, 8:20] = self.scheme.class_id("Upper-clothes")
        return PartMap(label_HW, self.scheme)


class Everyone:
    """A person from top to bottom, and somebody who turns away."""

    name = "everyone"
    identity = "everyone-1"
    needs_faces = False
    parallel = True

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        masks = np.zeros((2, *rgb_HWC.shape[:2]), np.float32)
        masks[0, 2:30, 8:20], masks[1, 5:30, 28:38] = 0.9, 0.8
        masks[1, :5, 28:38] = 0.4
        return [PersonMask(mask_HW) for mask_HW in masks]


def test_what_people_cover_and_the_parts_miss_is_body() -> None:
    both = with_bodies(Clothes(), Everyone())
    parts = both.segment(RGB_HWC)
    alone = Clothes().segment(RGB_HWC)
    assert (parts.label_HW[alone.label_HW > 0] == alone.label_HW[alone.label_HW > 0]).all()
    weights_HW = weigh_parts(TierWeights(classes=(("Upper-clothes", 60),)), parts) * 255
    assert (weights_HW[2:8, 10:18] == 255).all()
    assert (weights_HW[8:14, 8:20] == 60).all()
    assert (weights_HW[14:30, 8:20] == 128).all()
    assert (weights_HW[5:30, 28:38] == 128).all()
    assert not weights_HW[:5, 28:38].any()
    assert (weigh_parts(TierWeights(classes=(("Person", 90),)), parts)[20, 30] * 255).round() == 90


def test_it_is_another_segmenter_that_says_what_it_is_made_of() -> None:
    both = with_bodies(Clothes(), Everyone())
    assert both.identity == "bodies-1|clothes-1|everyone-1|"
    assert (both.name, both.approximate) == ("clothes with bodies by everyone", False)
    assert (getattr(both, "parallel", None), getattr(both, "forbids_biometrics", None)) == (True, True)
    alone = Everyone()
    alone.parallel = False  # type: ignore[misc]
    assert getattr(with_bodies(Clothes(), alone), "parallel", None) is False


@pytest.mark.models
def test_bundled_people_have_their_faces_found_and_face_only_parsers_stand_on_them() -> None:
    people = BundledPersonSegmenter()
    both = with_bodies(Clothes(), people)
    assert isinstance(both, PartsWithBodies)
    assert BundledFaceRecognizer().identity in both.identity
    assert (both.segment(RGB_HWC).label_HW == Clothes().segment(RGB_HWC).label_HW).all(), "nobody is there"
    heads = HeadsOnPeople(Clothes(), BundledFaceRecognizer(), people)
    on_others = with_bodies(heads, Everyone())
    assert isinstance(on_others, HeadsOnPeople)
    assert on_others.people_identity == "everyone-1"


@pytest.mark.models
def test_bodies_that_would_be_the_same_are_refused() -> None:
    people = BundledPersonSegmenter()
    for parts in (BundledPartSegmenter(), HeadsOnPeople(Clothes(), BundledFaceRecognizer(), people)):
        with pytest.raises(SettingError, match="come from the person segmenter 'bundled' already; disconnect"):
            with_bodies(parts, people)
