"""Where the weights of an item come from, and that they stay with its picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_fitted, load_item
from maskloss.core.errors import ImageError, MaskMissingError
from maskloss.core.resample import fit_image, fit_mask

Draw = Callable[..., Path]
ALPHA = LoadSettings(alpha_mask=True)


def test_a_mask_file_gives_exact_weights(photograph: Draw, mask: Draw) -> None:
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings(), mask("masks/a.png", value=80))
    loaded = load_item(item)
    assert loaded.origin is MaskOrigin.FILE
    assert loaded.weights_HW is not None
    assert loaded.weights_HW.dtype == np.float32
    assert set(np.unique(loaded.weights_HW)) == {np.float32(0), np.float32(80 / 255)}


def test_alpha_comes_before_the_file(photograph: Draw, mask: Draw) -> None:
    item = DatasetItem("a", photograph("set/a.png", alpha=51), ALPHA, mask("masks/a.png"))
    loaded = load_item(item)
    assert loaded.origin is MaskOrigin.ALPHA
    assert np.array_equal(loaded.weights_HW, np.full((30, 40), 51 / 255, np.float32))
    assert np.array_equal(loaded.rgb_HWC, load_item(DatasetItem("a", item.media_path, LoadSettings())).rgb_HWC)


def test_alpha_is_not_read_unless_asked(photograph: Draw) -> None:
    loaded = load_item(DatasetItem("a", photograph("set/a.png", alpha=51), LoadSettings()))
    assert (loaded.origin, loaded.weights_HW) == (MaskOrigin.NONE, None)


def test_an_opaque_alpha_yields_to_a_file_and_else_counts_fully(photograph: Draw, mask: Draw) -> None:
    path = photograph("set/a.png", alpha=255)
    with_file = load_item(DatasetItem("a", path, ALPHA, mask("masks/a.png", value=128)))
    assert with_file.origin is MaskOrigin.FILE
    assert with_file.weights_HW is not None
    assert with_file.weights_HW.max() == np.float32(128 / 255)
    alone = load_item(DatasetItem("a", path, ALPHA))
    assert alone.origin is MaskOrigin.ALPHA
    assert alone.weights_HW is not None
    assert (alone.weights_HW == 1).all()


def test_an_all_black_alpha_is_a_mask_like_any_other(photograph: Draw) -> None:
    loaded = load_item(DatasetItem("a", photograph("set/a.png", alpha=0), ALPHA))
    assert loaded.origin is MaskOrigin.ALPHA
    assert loaded.weights_HW is not None
    assert not loaded.weights_HW.any()


def test_a_required_mask_that_is_missing_is_an_error_in_the_kept_words(photograph: Draw) -> None:
    item = DatasetItem("sub/a", photograph("set/a.jpg"), LoadSettings(require_mask=True))
    with pytest.raises(MaskMissingError) as caught:
        load_item(item)
    assert str(caught.value) == (
        "require_mask=true but no mask found for sub/a (no alpha channel + no matching file in mask_directory)"
    )


def test_a_mask_of_another_size_takes_the_images_size(photograph: Draw, mask: Draw) -> None:
    small = load_item(DatasetItem("a", photograph("set/a.png"), LoadSettings(), mask("masks/a.png", (20, 15))))
    assert small.weights_HW is not None
    assert small.weights_HW.shape == (30, 40)
    assert set(np.unique(small.weights_HW)) == {np.float32(0), np.float32(1)}
    assert small.weights_HW[:, :20].all()
    assert not small.weights_HW[:, 20:].any()


def test_a_mask_of_another_aspect_is_refused(photograph: Draw, mask: Draw) -> None:
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings(), mask("masks/a.png", (30, 30)))
    with pytest.raises(ImageError, match="the mask of a is 30x30 and its image 40x30"):
        load_item(item)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_image_and_mask_turn_together_in_every_orientation(
    photograph: Draw, mask: Draw, tmp_path: Path, orientation: int
) -> None:
    # The picture's own brightness is its mask: wherever both end up, they must agree.
    pixels = np.zeros((30, 40), np.uint8)
    pixels[2:12, 3:9] = 255
    turned = DatasetItem(
        "a",
        mask("set/a.png", value=pixels, orientation=orientation),
        LoadSettings(),
        mask("masks/a.png", value=pixels, orientation=orientation),
    )
    loaded = load_item(turned)
    assert loaded.size == ((40, 30) if orientation < 5 else (30, 40))
    assert loaded.weights_HW is not None
    assert np.array_equal(loaded.rgb_HWC[..., 0] / np.float32(255), loaded.weights_HW)
    if orientation != 1:
        assert loaded.weights_HW.shape != pixels.shape or not np.array_equal(loaded.weights_HW * 255, pixels)


@pytest.mark.parametrize("bucket", [(32, 16), (16, 32), (24, 24)])
def test_the_bucket_crops_image_and_mask_alike(photograph: Draw, mask: Draw, bucket: tuple[int, int]) -> None:
    pixels = np.random.default_rng(3).integers(0, 2, (60, 80), dtype=np.uint8) * 255
    item = DatasetItem("a", mask("set/a.png", value=pixels), LoadSettings(), mask("masks/a.png", value=pixels))
    loaded = load_item(item)
    assert loaded.weights_HW is not None
    rgb_HWC, weights_HW = fit_image(loaded.rgb_HWC, bucket), fit_mask(loaded.weights_HW, loaded.size, bucket)
    assert (rgb_HWC.shape[1], rgb_HWC.shape[0]) == (weights_HW.shape[1], weights_HW.shape[0]) == bucket
    assert np.abs(rgb_HWC[..., 0] / 255.0 - weights_HW).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize("bucket", [(24, 24), (61, 45)])
def test_a_photograph_and_its_mask_are_fitted_as_one(photograph: Draw, mask: Draw, bucket: tuple[int, int]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (30, 40), dtype=np.uint8)
    own = DatasetItem("a", photograph("set/a.png"), LoadSettings(), mask("masks/a.png", value=pixels))
    loaded, fitted = load_item(own), load_fitted(own, bucket)
    assert loaded.weights_HW is not None
    assert fitted.weights_THW is not None
    np.testing.assert_array_equal(fitted.rgb_THWC, fit_image(loaded.rgb_HWC, bucket)[None])
    np.testing.assert_array_equal(fitted.weights_THW, fit_mask(loaded.weights_HW, loaded.size, bucket)[None])
    alpha = load_fitted(DatasetItem("b", photograph("set/b.png", alpha=51), ALPHA), bucket)
    assert alpha.origin is MaskOrigin.ALPHA
    assert alpha.weights_THW is not None
    np.testing.assert_allclose(alpha.weights_THW, 51 / 255, rtol=1e-6)
    assert load_fitted(DatasetItem("c", photograph("set/c.png"), LoadSettings()), bucket).weights_THW is None


def test_a_mask_of_another_size_goes_straight_to_the_bucket(photograph: Draw, mask: Draw) -> None:
    """One of twice the photograph's size, in stripes of one pixel, that the photograph's size would make grey."""
    stripes_HW = np.zeros((60, 80), np.uint8)
    stripes_HW[:, ::2] = 255
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings(), mask("masks/a.png", value=stripes_HW))
    weights_HW = load_item(item).weights_HW
    assert weights_HW is not None
    assert set(np.unique(weights_HW)) == {np.float32(0.5)}
    fitted = load_fitted(item, (80, 60)).weights_THW
    assert fitted is not None
    np.testing.assert_array_equal(fitted[0], stripes_HW / np.float32(255))


def test_on_the_way_to_the_bucket_the_mean_of_a_mask_of_another_size_is_kept(photograph: Draw, mask: Draw) -> None:
    stripes_HW = np.zeros((21, 28), np.uint8)
    stripes_HW[:, ::3] = 255
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings(), mask("masks/a.png", value=stripes_HW))
    for bucket in ((32, 24), (52, 39), (20, 15)):
        fitted = load_fitted(item, bucket).weights_THW
        assert fitted is not None
        assert fitted.mean(dtype=np.float64) == pytest.approx(10 / 28, abs=1e-6)
