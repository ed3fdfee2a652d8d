"""The weights of one person among several: their own tiers, where they are, and nothing of anybody else."""

import numpy as np
import pytest
from maskloss.core.errors import DatasetError
from maskloss.core.masks.part_values import Tiers
from maskloss.core.masks.person_weights import weights_of_one, weights_together, with_own_weights
from maskloss.core.people.people import OwnWeights

VALUES_HW = np.array([[255, 80, 128, 0]], np.float32) / np.float32(255)
LEFT_HW, RIGHT_HW = np.array([[True, True, False, False]]), np.array([[False, False, True, False]])


def own(weights: OwnWeights, tiers: Tiers | None = None) -> list[int]:
    kept_HW = with_own_weights(VALUES_HW, weights, tiers, "anna", "party")
    return np.rint(kept_HW * 255).astype(int)[0].tolist()


def test_tiers_with_a_value_of_their_own_have_it_and_the_others_what_they_had() -> None:
    assert own(OwnWeights()) == [255, 80, 128, 0]
    assert own(OwnWeights(face=0)) == [0, 80, 128, 0]
    assert own(OwnWeights(hair=255, body=7)) == [255, 255, 7, 0]
    assert own(OwnWeights(background=9)) == [255, 80, 128, 9]
    noted = Tiers(128, 80, 255, noted=True)
    assert own(OwnWeights(face=1, background=2), noted) == [2, 80, 1, 0], "as Build Masks noted it"


def test_a_tier_that_the_mask_does_not_tell_is_an_error() -> None:
    with pytest.raises(DatasetError, match="anna has a hair_weight of 9, but the mask of party does not tell"):
        own(OwnWeights(hair=9), Tiers(255, None, 0, noted=True))
    flat_HW = np.ones((2, 2), np.float32)
    with pytest.raises(DatasetError, match="body_weight of 9"):
        with_own_weights(flat_HW, OwnWeights(body=9), None, "anna", "party")


def test_where_one_person_is_the_others_have_as_much_as_asked_for() -> None:
    weights = [VALUES_HW, VALUES_HW / 2]
    assert weights_of_one(weights, [LEFT_HW, RIGHT_HW], 0, (0, 0))[0].tolist() == [*VALUES_HW[0, :2], 0, 0]
    shared_HW = weights_of_one(weights, [LEFT_HW, RIGHT_HW], 0, (0, 0), 51)
    assert shared_HW[0, 2] == pytest.approx(VALUES_HW[0, 2] / 2 * 51 / 255)
    grown_HW = weights_of_one([np.ones((1, 4), np.float32)] * 2, [LEFT_HW, RIGHT_HW], 0, (9, 0))
    assert grown_HW[0].tolist() == [1, 1, 0, 1], "it grows past the other, not into them"


def test_together_each_has_their_own() -> None:
    together_HW = weights_together([VALUES_HW, VALUES_HW / 2], [LEFT_HW, RIGHT_HW], (0, 0), {})
    assert together_HW[0].tolist() == pytest.approx([1.0, 80 / 255, 64 / 255, 0])
