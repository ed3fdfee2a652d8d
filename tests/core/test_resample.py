"""One transform for image and mask; the mean survives the way to the latent grid."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from maskloss.core.errors import ImageError
from maskloss.core.resample import (
    check_same_aspect,
    fit_image,
    fit_mask,
    limit_size,
    to_latent_grid,
)
from PIL import Image


def test_scale_and_crop_are_musubis():
    # 200x100 into 64x64: scale 0.64 -> 128x64, left (128-64)//2 = 32 cut off on each side.
    image = np.zeros((100, 200, 3), np.uint8)
    image[:, 50:150] = 255
    assert (fit_image(image, (64, 64)) == 255).all()
    image[:, 49] = 255
    image[:, 150:] = 255
    assert fit_image(image, (64, 64)).shape == (64, 64, 3)


def test_shrinking_a_picture_is_the_area_mean():
    # Sampling single pixels of a fine pattern would give black or white.
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, ::2] = 254
    assert (fit_image(image, (16, 16)) == 127).all()


def resized_by_musubi(image: np.ndarray, bucket: tuple[int, int]) -> np.ndarray:
    """resize_image_to_bucket of musubi-tuner, line for line."""
    height, width = image.shape[:2]
    if bucket == (width, height):
        return image
    scale = max(bucket[0] / width, bucket[1] / height)
    width, height = int(width * scale + 0.5), int(height * scale + 0.5)
    if scale > 1:
        image = np.array(Image.fromarray(image).resize((width, height), Image.LANCZOS))
    else:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    left, top = (width - bucket[0]) // 2, (height - bucket[1]) // 2
    return image[top : top + bucket[1], left : left + bucket[0]]


@given(st.tuples(*[st.integers(1, 90)] * 2), st.tuples(*[st.sampled_from([16, 32, 48, 64, 96])] * 2))
@settings(max_examples=60, deadline=None)
def test_pixels_are_musubis_bit_for_bit(size, bucket):
    image = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    assert np.array_equal(fit_image(image, bucket), resized_by_musubi(image, bucket))


@given(
    size=st.tuples(st.integers(17, 90), st.integers(17, 90)),
    bucket=st.tuples(st.sampled_from([16, 32, 48, 64, 96]), st.sampled_from([16, 32, 48, 64, 96])),
)
@settings(max_examples=60, deadline=None)
def test_image_and_mask_share_the_transform(size, bucket):
    # A mask drawn into the picture must lie on the picture of itself after the transform.
    width, height = size
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2 + 2, width // 3 : width // 2 + 2] = 255
    fitted_image = fit_image(np.repeat(mask[..., None], 3, 2), bucket)[..., 0]
    fitted_mask = fit_mask(mask, size, bucket)
    assert fitted_mask.shape == (bucket[1], bucket[0])
    assert ((fitted_image > 127) != (fitted_mask > 127)).mean() <= 2.5 * (1 / bucket[0] + 1 / bucket[1])


@pytest.mark.parametrize("factor", [2, 4])
def test_a_mask_of_another_size_gets_the_images_transform(factor):
    # A mask at half size of a 25 % square must cover 25 %, not 25 % of a quarter.
    mask = np.zeros((96, 128), np.uint8)
    mask[24:72, 32:96] = 255
    small = mask[::factor, ::factor]
    for bucket in ((64, 48), (128, 96), (256, 192), (64, 64)):
        whole = fit_mask(mask, (128, 96), bucket).mean()
        assert fit_mask(small, (128, 96), bucket).mean() == pytest.approx(whole, abs=12)


def test_enlarging_keeps_the_tiers():
    mask = np.random.default_rng(0).choice(np.array([0, 80, 128, 255], np.uint8), (20, 30))
    assert set(np.unique(fit_mask(mask, (30, 20), (96, 64)))) <= {0, 80, 128, 255}


def mean_behind(mask_HW: np.ndarray, image_size: tuple[int, int], bucket: tuple[int, int]) -> float:
    """The mean of the mask over what the bucket shows of it, in float64, by areas alone."""
    height, width = mask_HW.shape
    scale = max(bucket[0] / image_size[0], bucket[1] / image_size[1])
    shares = []
    for length, own, side in ((height, image_size[1], bucket[1]), (width, image_size[0], bucket[0])):
        scaled = int(own * scale + 0.5)
        begin = (scaled - side) // 2 * (length / scaled)
        end = begin + side * (length / scaled)
        pixels = np.arange(length)
        shares.append((np.minimum(end, pixels + 1) - np.maximum(begin, pixels)).clip(0) / (end - begin))
    return float(shares[0] @ mask_HW.astype(np.float64) @ shares[1])


@given(
    image_size=st.tuples(st.integers(40, 170), st.integers(40, 170)),
    part=st.sampled_from([0.31, 0.5, 0.77, 1.21, 1.9, 3.0]),
    bucket=st.tuples(st.integers(8, 150), st.integers(8, 150)),
    seed=st.integers(0, 9),
)
@settings(max_examples=300, deadline=None)
def test_of_a_mask_of_another_size_the_mean_is_kept_by_resampling_once(image_size, part, bucket, seed):
    """Never worse than by way of the image's size, on any odd sizes of mask, image and bucket."""
    mask_size = round(image_size[0] * part), round(image_size[1] * part)
    assume(abs(mask_size[0] * image_size[1] / (mask_size[1] * image_size[0]) - 1) < 0.009)
    mask_HW = (np.random.default_rng(seed).random((mask_size[1], mask_size[0])) < 0.3).astype(np.float32)
    expected = mean_behind(mask_HW, image_size, bucket)
    once_HW = fit_mask(mask_HW, image_size, bucket, keep_mean=True)
    twice_HW = fit_mask(fit_mask(mask_HW, image_size, image_size), image_size, bucket)
    assert once_HW.shape == twice_HW.shape == (bucket[1], bucket[0])
    assert once_HW.dtype == np.float32
    error = abs(float(once_HW.mean(dtype=np.float64)) - expected)
    assert error <= abs(float(twice_HW.mean(dtype=np.float64)) - expected) + 2e-6
    assert error < 2e-6


def test_by_way_of_the_images_size_the_mean_is_another():
    """What the test above compares with is no straw man: that error is seen."""
    stripes_HW = np.zeros((31, 41), np.float32)
    stripes_HW[:, ::3] = 1
    size, bucket = (62, 47), (56, 42)
    expected = mean_behind(stripes_HW, size, bucket)
    twice_HW = fit_mask(fit_mask(stripes_HW, size, size), size, bucket)
    assert abs(twice_HW.mean() - expected) > 0.002
    assert fit_mask(stripes_HW, size, bucket, keep_mean=True).mean() == pytest.approx(expected, abs=1e-6)


def test_shrinking_is_the_area_mean_and_keeps_the_dtype():
    mask = np.zeros((64, 64), np.float32)
    mask[:, ::2] = 1.0
    fitted = fit_mask(mask, (64, 64), (32, 32))
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(fitted, 0.5)
    assert fit_mask((mask * 255).astype(np.uint8), (64, 64), (32, 32)).dtype == np.uint8


@pytest.mark.parametrize(("mask_size", "fits"), [((101, 100), True), ((102, 100), False), ((100, 102), False)])
def test_aspect_beyond_one_percent_is_refused(mask_size, fits):
    if fits:
        check_same_aspect("a", (1000, 1000), mask_size)
        return
    with pytest.raises(ImageError, match=f"{mask_size[0]}x{mask_size[1]}.*1000x1000"):
        check_same_aspect("a", (1000, 1000), mask_size)


def test_fit_mask_refuses_another_aspect():
    with pytest.raises(ImageError, match="aspect"):
        fit_mask(np.zeros((50, 100), np.uint8), (100, 100), (32, 32))


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    h=st.integers(1, 12),
    w=st.integers(1, 12),
    seed=st.integers(0, 9),
)
@settings(max_examples=80, deadline=None)
def test_the_mean_is_conserved_on_every_size(height, width, h, w, seed):
    weights = torch.rand(1, 1, 1, height, width, generator=torch.Generator().manual_seed(seed))
    grid = to_latent_grid(weights, (h, w))
    assert grid.shape == (1, 1, 1, h, w)
    assert float(grid.mean()) == pytest.approx(float(weights.mean()), abs=1e-5)
    assert grid.min() >= 0
    assert grid.max() <= 1


@pytest.mark.parametrize("stride", [8, 16])
def test_dividing_sizes_equal_torchs_area(stride):
    weights = torch.rand(2, 1, 1, 6 * stride, 4 * stride, generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(weights[:, :, 0], size=(6, 4), mode="area")
    torch.testing.assert_close(to_latent_grid(weights, (6, 4))[:, :, 0], expected)


def test_thin_detail_keeps_its_share():
    weights = torch.zeros(1, 1, 1, 64, 64)
    weights[..., 10:14, 9:13] = 1.0  # a 4x4 blob: nearest sampling at stride 8 finds nothing
    assert F.interpolate(weights[:, :, 0], size=(8, 8), mode="nearest").sum() == 0
    assert float(to_latent_grid(weights, (8, 8)).max()) == pytest.approx(0.25)


def test_time_is_the_mean_over_the_frames_a_latent_frame_stands_for():
    frames = torch.arange(9.0).div(8).reshape(1, 1, 9, 1, 1).expand(1, 1, 9, 8, 8)
    grid = to_latent_grid(frames, (1, 1), (1, 4, 4))
    torch.testing.assert_close(grid.flatten(), torch.tensor([0.0, 2.5 / 8, 6.5 / 8]))
    uneven = to_latent_grid(frames, (1, 1), (1, 4, 1, 3))
    torch.testing.assert_close(uneven.flatten(), torch.tensor([0.0, 2.5 / 8, 5 / 8, 7 / 8]))
    with pytest.raises(ImageError, match="8 frames do not fit"):
        to_latent_grid(frames[:, :, :8], (1, 1), (1, 4, 4))


def test_a_picture_is_brought_to_a_longest_side_and_never_enlarged():
    picture_HWC = np.full((300, 200, 3), 7, np.uint8)
    small_HWC, scale = limit_size(picture_HWC, 100)
    assert small_HWC.shape == (100, 67, 3)
    assert scale == pytest.approx(1 / 3)
    assert (small_HWC == 7).all()
    assert limit_size(picture_HWC, 300)[0] is picture_HWC
    assert limit_size(picture_HWC, 1000)[1] == 1.0
    assert limit_size(np.zeros((1, 5000, 3), np.uint8), 100)[0].shape == (1, 100, 3)


def test_wrong_shapes_are_refused():
    with pytest.raises(ImageError, match=r"\(H, W, 3\)"):
        fit_image(np.zeros((8, 8, 4), np.uint8), (8, 8))
    with pytest.raises(ImageError, match=r"\(B, 1, T, H, W\)"):
        to_latent_grid(torch.zeros(8, 8), (1, 1))
