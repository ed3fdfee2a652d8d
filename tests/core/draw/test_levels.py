"""A legend names the tiers that are there, whatever lies between them at their edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from maskloss.core.draw.levels import ROUND_WEIGHTS, WeightLevels

TIERS_HW = np.zeros((200, 200), np.uint8)
TIERS_HW[40:180, 60:140] = 128
TIERS_HW[30:60, 80:120] = 80
TIERS_HW[45:70, 85:115] = 255


def levels(*weights: np.ndarray) -> tuple[int, ...]:
    found = WeightLevels()
    for each in weights:
        found.add(each)
    return found.values()


def test_the_tiers_are_there_and_no_other() -> None:
    assert levels(TIERS_HW / np.float32(255)) == (255, 128, 80, 0)
    assert levels(np.ones((4, 4), np.float32)) == (255,)


@pytest.mark.parametrize("blur", [3, 7])
def test_mixtures_at_edges_are_no_tiers(blur: int) -> None:
    assert levels(cv2.GaussianBlur(TIERS_HW, (blur, blur), 0) / np.float32(255)) == (255, 128, 80, 0)


def test_cells_of_a_latent_grid_that_hold_two_tiers_are_no_tiers() -> None:
    cells_hw = cv2.resize(TIERS_HW, (58, 58), interpolation=cv2.INTER_AREA) / np.float32(255)
    assert len(np.unique(cells_hw)) > 12
    assert levels(cells_hw) == (255, 128, 80, 0)


def test_several_pictures_give_what_is_in_any_of_them() -> None:
    body = np.where(TIERS_HW == 128, TIERS_HW, 0) / np.float32(255)
    assert levels(body, (TIERS_HW == 80) * np.float32(80 / 255)) == (128, 80, 0)


def test_soft_weights_and_none_get_round_ones() -> None:
    ramp_HW = np.tile(np.linspace(0, 1, 400, dtype=np.float32), (300, 1))
    assert levels(ramp_HW) == ROUND_WEIGHTS
    assert levels(TIERS_HW / np.float32(255), ramp_HW) == ROUND_WEIGHTS
    assert levels() == ROUND_WEIGHTS
