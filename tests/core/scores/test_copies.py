"""A copy is known by its perceptual hash, also mirrored and recompressed."""

from __future__ import annotations

import io
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from maskloss.core.scores.best_checkpoint import MOST_COPY_RISK
from maskloss.core.scores.copies import UNRELATED, hash_pictures
from PIL import Image

models = pytest.mark.models


def _recompressed(rgb_HWC: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(rgb_HWC))
    data = io.BytesIO()
    picture.resize((picture.width * 2 // 3, picture.height * 2 // 3)).save(data, "JPEG", quality=40)
    return np.asarray(Image.open(data))


@models
def test_a_copy_is_the_nearest_also_mirrored_and_recompressed(
    sample_photograph: Callable[[int], np.ndarray], t1_photograph: np.ndarray
) -> None:
    trained = [(f"sample{number}", sample_photograph(number)) for number in (1, 2, 3, 4)]
    hashes = hash_pictures(trained)
    unrelated = [hashes.nearest(picture)[1] for picture in (t1_photograph, sample_photograph(5), sample_photograph(6))]
    for name, rgb_HWC in trained:
        height, width = rgb_HWC.shape[:2]
        side = min(height, width)
        square_HWC = rgb_HWC[(height - side) // 2 :][:side, (width - side) // 2 :][:, :side]
        for copy_HWC in (rgb_HWC, _recompressed(rgb_HWC), _recompressed(rgb_HWC[:, ::-1]), _recompressed(square_HWC)):
            found, alike = hashes.nearest(copy_HWC)
            assert found == name
            assert alike > 0.9
    assert max(unrelated) < 0.7
    assert hashes.typical() < 0.7


def test_one_photograph_alone_is_compared_with_what_is_unrelated() -> None:
    assert hash_pictures([("one", np.zeros((64, 64, 3), np.uint8))]).typical() == UNRELATED


def test_what_training_photographs_are_to_each_other_is_the_median_of_the_nearest() -> None:
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 255, (12, 12, 3), np.uint8), (128, 128))
    others = [cv2.resize(rng.integers(0, 255, (12, 12, 3), np.uint8), (128, 128)) for _ in range(3)]
    repeated = hash_pictures([("a", scene), ("b", scene), ("c", scene)])
    assert repeated.typical() == UNRELATED, "a photograph kept twice is no other one"
    assert repeated.nearest(scene)[1] - repeated.typical() > MOST_COPY_RISK
    assert hash_pictures([(str(i), each) for i, each in enumerate(others)]).typical() < 0.75
