"""Alpha = weight, and the colour under alpha 0 survives every step of the road."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from maskloss.core.alpha import merge_alpha, split_alpha, uint8_to_weights, weights_to_uint8
from maskloss.core.errors import ImageError
from maskloss.core.images import load_image, save_image
from maskloss.core.resample import fit_image
from PIL import Image


def picture(height=40, width=56) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_alpha_is_the_weight_not_its_complement():
    weights = np.zeros((40, 56), np.float32)
    weights[:10] = 1.0
    rgba = merge_alpha(picture(), weights)
    assert (rgba[:10, :, 3] == 255).all()
    assert (rgba[10:, :, 3] == 0).all()


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_colour_under_alpha_zero_survives_merge_save_load_and_bucket(tmp_path, suffix):
    rgb, weights = picture(), np.zeros((40, 56), np.float32)
    save_image(tmp_path / f"a{suffix}", merge_alpha(rgb, weights))
    loaded, alpha = load_image(tmp_path / f"a{suffix}")
    assert np.array_equal(loaded, rgb)
    assert (alpha == 0).all()
    back, split = split_alpha(np.dstack([loaded, alpha]))
    assert np.array_equal(fit_image(back, (32, 16)), fit_image(rgb, (32, 16)))
    assert (split == 0).all()
    # What it guards against: Pillow premultiplies when it resizes RGBA.
    black = np.asarray(Image.open(tmp_path / f"a{suffix}").resize((28, 20)))[..., :3]
    assert black.max() == 0


@pytest.mark.parametrize("tier", [0, 80, 128, 255])
def test_tiers_round_trip_exactly(tier):
    mask = np.full((4, 5), tier, np.uint8)
    weights = uint8_to_weights(mask)
    assert weights.dtype == np.float32
    assert np.array_equal(weights_to_uint8(weights), mask)
    assert (merge_alpha(np.zeros((4, 5, 3), np.uint8), weights)[..., 3] == tier).all()


def test_opaque_alpha_is_no_mask():
    rgb = picture()
    assert split_alpha(np.dstack([rgb, np.full((40, 56), 255, np.uint8)]))[1] is None
    assert split_alpha(rgb)[1] is None


def test_another_size_is_refused_with_both_sizes():
    with pytest.raises(ImageError, match="56x40 and 40x56"):
        merge_alpha(picture(), np.zeros((56, 40), np.float32))


def test_bad_values_are_refused():
    with pytest.raises(ImageError, match=r"\[0, 1\]"):
        weights_to_uint8(np.full((2, 2), 1.5, np.float32))
    with pytest.raises(ImageError, match="uint8"):
        merge_alpha(picture().astype(np.float32), np.zeros((40, 56), np.float32))
    with pytest.raises(ImageError, match="uint8"):
        split_alpha(np.zeros((4, 4, 2), np.uint8))


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))
PIXELS = SIZES.flatmap(
    lambda size: st.tuples(
        arrays(np.uint8, (*size, 3), elements=st.integers(0, 255)), arrays(np.uint8, size, elements=st.integers(0, 255))
    )
)


@given(PIXELS)
@settings(deadline=None, max_examples=60)
def test_every_picture_and_every_weight_come_back_exactly(pixels):
    rgb, levels = pixels
    merged = merge_alpha(rgb, uint8_to_weights(levels))
    assert np.array_equal(merged, np.dstack([rgb, levels]))
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        save_image(path, merged)
        loaded, alpha = load_image(path)
    assert np.array_equal(loaded, rgb)
    assert np.array_equal(alpha, levels)
    back, weights = split_alpha(merged)
    assert np.array_equal(back, rgb)
    assert weights is None if (levels == 255).all() else np.array_equal(weights_to_uint8(weights), levels)
