"""The mean survives every pair of shrinking and growing sides."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.resample import (
    shrink_then_enlarge,
)

STRIPES_PX = 4


def striped(size: tuple[int, int], axis: int, phase: int) -> np.ndarray:
    """RGB with one line of four white along the axis: its mean is 63.75 wherever the size is a multiple of four."""
    picture_HWC = np.zeros((size[1], size[0], 3), np.uint8)
    np.moveaxis(picture_HWC, axis, 0)[phase::STRIPES_PX] = 255
    return picture_HWC


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("phase", range(STRIPES_PX))
@pytest.mark.parametrize("enlarge", [cv2.INTER_LINEAR, cv2.INTER_NEAREST_EXACT, cv2.INTER_AREA, cv2.INTER_CUBIC])
def test_stripes_keep_their_mean_where_the_other_side_grows(axis, phase, enlarge):
    # One cv2.resize with INTER_AREA gives 191 or 0 here, by the phase.
    picture_HWC = striped((3072, 900) if axis == 1 else (900, 3072), axis, phase)
    size = (768, 1024) if axis == 1 else (1024, 768)
    shown_HWC = shrink_then_enlarge(picture_HWC, size, enlarge)
    assert shown_HWC.shape == (size[1], size[0], 3)
    assert np.abs(shown_HWC.astype(int) - 64).max() <= 1


SIDES = st.integers(1, 60)
GROWING = st.sampled_from([cv2.INTER_LINEAR, cv2.INTER_NEAREST_EXACT])


def array_of(kind: str, height: int, width: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    if kind == "mask":
        return generator.choice(np.array([0, 0.25, 0.5, 1], np.float32), (height, width))
    if kind == "grey":
        return generator.integers(0, 256, (height, width), np.uint8)
    return generator.integers(0, 256, (height, width, 3), np.uint8)


@given(
    kind=st.sampled_from(["picture", "grey", "mask"]),
    source=st.tuples(SIDES, SIDES),
    factors=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    shrinks=st.tuples(st.booleans(), st.booleans()),
    target=st.tuples(SIDES, SIDES),
    enlarge=GROWING,
    seed=st.integers(0, 3),
)
@settings(max_examples=300, deadline=None)
def test_the_mean_is_kept_by_every_pair_of_shrinking_and_growing_sides(
    kind, source, factors, shrinks, target, enlarge, seed
):
    """Sides that shrink may do so by any ratio; those that grow do so by a whole factor, by which alone a mean can
    survive interpolation (each pixel then counts equally often)."""
    size = tuple(
        min(own, wanted) if down else own * factor
        for own, factor, down, wanted in zip(source, factors, shrinks, target, strict=True)
    )
    array = array_of(kind, source[1], source[0], seed)
    resized = shrink_then_enlarge(array, size, enlarge)
    assert resized.dtype == array.dtype
    assert resized.shape[:2] == (size[1], size[0])
    # 8 bits are rounded once where sides shrink and once where they grow.
    tolerance = 1e-5 if kind == "mask" else 1.0
    np.testing.assert_allclose(
        resized.mean(axis=(0, 1), dtype=np.float64), array.mean(axis=(0, 1), dtype=np.float64), atol=tolerance
    )


@given(source=st.tuples(SIDES, SIDES), target=st.tuples(SIDES, SIDES), seed=st.integers(0, 3), axis=st.integers(0, 1))
@settings(max_examples=300, deadline=None)
def test_along_a_side_that_shrinks_the_mean_is_kept_whatever_the_other_side_does(source, target, seed, axis):
    """By any ratio: the means along the shrinking side are what the other side alone makes of the source's means."""
    size = list(target)
    size[1 - axis] = min(size[1 - axis], source[1 - axis])
    mask_HW = array_of("mask", source[1], source[0], seed)
    means = mask_HW.mean(axis=axis, keepdims=True, dtype=np.float64).astype(np.float32)
    other_side = (1, size[1]) if axis == 1 else (size[0], 1)
    expected = shrink_then_enlarge(means, other_side)
    found = shrink_then_enlarge(mask_HW, (size[0], size[1])).mean(axis=axis, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@given(
    kind=st.sampled_from(["picture", "grey", "mask"]),
    source=st.tuples(SIDES, SIDES),
    target=st.tuples(SIDES, SIDES),
    enlarge=GROWING,
)
@settings(max_examples=300, deadline=None)
def test_where_no_side_does_the_opposite_of_the_other_it_is_opencvs_own_resize(kind, source, target, enlarge):
    array = array_of(kind, source[1], source[0], 0)
    resized = shrink_then_enlarge(array, target, enlarge)
    if all(new <= old for new, old in zip(target, source, strict=True)):
        assert np.array_equal(resized, cv2.resize(array, target, interpolation=cv2.INTER_AREA))
    elif all(new >= old for new, old in zip(target, source, strict=True)):
        assert np.array_equal(resized, cv2.resize(array, target, interpolation=enlarge))
