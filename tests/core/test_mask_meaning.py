"""Every kind of mask file means what the rule says, or is refused with its meanings and the input that decides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import ImageError
from maskloss.core.images import load_mask, read_mask
from maskloss.core.mask_meaning import MaskMeaning
from PIL import Image

from .mask_files import (
    BLACK,
    INSIDE,
    OUTSIDE,
    RED,
    VOC_CLASS_1,
    WHITE,
    H,
    W,
    Write,
    colour,
    grey,
    palette,
    photo,
    shape,
    with_alpha,
)


@pytest.mark.parametrize(
    ("content", "name", "meaning"),
    [
        (shape(), "grey.png", MaskMeaning.BRIGHTNESS),
        (shape(), "grey.jpg", MaskMeaning.BRIGHTNESS),
        (Image.fromarray(shape()).convert("1"), "bits.png", MaskMeaning.BRIGHTNESS),
        (grey(shape()), "rgb.png", MaskMeaning.BRIGHTNESS),
        (with_alpha(grey(shape()), np.full((H, W), 255, np.uint8)), "opaque.png", MaskMeaning.BRIGHTNESS),
        (with_alpha(grey(shape()), np.full((H, W), 252, np.uint8)), "nearly.png", MaskMeaning.BRIGHTNESS),
        (Image.fromarray(grey(shape())).convert("CMYK"), "cmyk.tif", MaskMeaning.BRIGHTNESS),
        (Image.fromarray(grey(shape())).convert("YCbCr"), "ycc.jpg", MaskMeaning.BRIGHTNESS),
        (palette(shape(1), [*BLACK, *WHITE]), "palette.png", MaskMeaning.BRIGHTNESS),
        (palette(1 - shape(1), [*WHITE, *BLACK]), "inverted.png", MaskMeaning.BRIGHTNESS),
        (shape(255, np.uint16), "255_in_16.png", MaskMeaning.BRIGHTNESS),
        (shape(65535, np.uint16), "16.png", MaskMeaning.BRIGHTNESS),
        (shape(65280, np.uint16), "shifted.png", MaskMeaning.BRIGHTNESS),
        (shape(255, np.int32), "255_in_32.tif", MaskMeaning.BRIGHTNESS),
        (shape(65535, np.int32), "65535_in_32.tif", MaskMeaning.BRIGHTNESS),
        (shape(1).astype(np.float32), "float.tif", MaskMeaning.BRIGHTNESS),
        (shape().astype(np.float32), "float_255.tif", MaskMeaning.BRIGHTNESS),
        (grey(shape()).astype(np.uint16), "255_in_rgb48.png", MaskMeaning.BRIGHTNESS),
        (grey(shape()).astype(np.uint16) * 257, "rgb48.tif", MaskMeaning.BRIGHTNESS),
        (shape(1), "labels.png", MaskMeaning.NONZERO),
        (shape(1, np.uint16), "labels_16.png", MaskMeaning.NONZERO),
        (shape(1, np.int32), "labels_32.tif", MaskMeaning.NONZERO),
        (grey(shape(1)), "labels_rgb.png", MaskMeaning.NONZERO),
        (colour((1, 0, 0)), "label_in_red.png", MaskMeaning.NONZERO),
        (colour((0, 0, 1)).astype(np.uint16), "label_in_blue.png", MaskMeaning.NONZERO),
        (palette(shape(1), [0, 0, 0, 1, 1, 1]), "labels_palette.png", MaskMeaning.NONZERO),
        (palette(shape(1), [0] * 6), "labels_black_palette.png", MaskMeaning.NONZERO),
        (colour(RED), "red.png", MaskMeaning.COLOUR),
        (colour((128, 0, 0)), "dark_red.png", MaskMeaning.COLOUR),
        (colour(RED), "red.jpg", MaskMeaning.COLOUR),
        (colour((255, 255, 0)), "yellow.jpg", MaskMeaning.COLOUR),
        (colour((0, 160, 255)), "blue.webp", MaskMeaning.COLOUR),
        (colour((255, 128, 128)), "pink.png", MaskMeaning.COLOUR),
        (palette(shape(1), VOC_CLASS_1), "voc.png", MaskMeaning.COLOUR),
        (colour(RED).astype(np.uint16) * 257, "red48.png", MaskMeaning.COLOUR),
        (with_alpha(colour(RED), shape()), "red_on_nothing.png", MaskMeaning.ALPHA),
        (with_alpha(colour(RED, WHITE), shape()), "red_hidden_white.png", MaskMeaning.ALPHA),
        (with_alpha(colour(BLACK), shape()), "black_brush.png", MaskMeaning.ALPHA),
        (with_alpha(colour(BLACK, WHITE), shape()), "black_hidden_white.png", MaskMeaning.ALPHA),
        (with_alpha(colour(WHITE, WHITE), shape()), "white_on_white.png", MaskMeaning.ALPHA),
        (with_alpha(grey(shape()), shape()), "both_the_same.png", MaskMeaning.ALPHA),
        (with_alpha(photo(), shape()), "photograph.png", MaskMeaning.ALPHA),
        (with_alpha(photo(), shape()), "photograph.webp", MaskMeaning.ALPHA),
        (with_alpha(photo(), shape(1)), "labels_in_alpha.png", MaskMeaning.ALPHA),
        (with_alpha(photo(), shape()).astype(np.uint16) * 257, "photograph64.png", MaskMeaning.ALPHA),
        (Image.fromarray(with_alpha(colour(RED), shape())), "red.gif", MaskMeaning.ALPHA),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_shape_counts_fully_and_nothing_else(
    write_mask: Write, content: object, name: str, meaning: MaskMeaning
) -> None:
    read = read_mask(write_mask(content, name))
    assert read.meaning is meaning
    assert read.mask_HW.dtype == np.uint8
    assert read.mask_HW[INSIDE] >= (255 if Path(name).suffix not in (".jpg", ".webp") else 253)
    assert read.mask_HW[OUTSIDE] <= (0 if Path(name).suffix not in (".jpg", ".webp") else 2)
    assert read.fraction == pytest.approx(0.25, abs=0 if Path(name).suffix not in (".jpg", ".webp") else 0.1)


several_colours = colour(RED)

several_colours[:10, :10] = (0, 0, 255)

red_and_white = colour(RED)

red_and_white[20:30, 30:40] = 255

three_labels = shape(3)

three_labels[20:30, 30:40] = 1

two_bits = Image.fromarray(shape(85))


@pytest.mark.parametrize(
    ("content", "name", "meanings"),
    [
        (colour(RED, WHITE), "red_on_white.png", "brightness or colour"),
        (several_colours, "several.png", "brightness or colour or nonzero"),
        (red_and_white, "red_and_white.png", "brightness or colour or nonzero"),
        (several_colours, "several.jpg", "brightness or colour or nonzero"),
        (photo(), "photograph.png", "brightness or colour"),
        (with_alpha(photo(), np.full((H, W), 255, np.uint8)), "opaque.png", "brightness or colour"),
        (with_alpha(grey(photo()[..., 0]), shape()), "grey_photograph.png", "brightness or alpha"),
        (with_alpha(grey(shape()), np.zeros((H, W), np.uint8)), "hidden.png", "alpha or brightness"),
        (
            with_alpha(several_colours, np.zeros((H, W), np.uint8)),
            "hidden_colours.png",
            "alpha or brightness or colour or nonzero",
        ),
        (shape(2), "label_2.png", "brightness or nonzero"),
        (colour((0, 0, 2)), "label_2_in_blue.png", "brightness or nonzero"),
        (three_labels, "labels.png", "brightness or nonzero"),
        (three_labels.astype(np.uint16), "labels_16.png", "brightness or nonzero"),
        (three_labels.astype(np.int32), "labels_32.tif", "brightness or nonzero"),
        (three_labels.astype(np.float32), "labels_float.tif", "brightness or nonzero"),
        (shape(1023, np.uint16), "ten_bits.png", "brightness or nonzero"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_could_mean_two_things_is_refused(write_mask: Write, content: object, name: str, meanings: str) -> None:
    path = write_mask(content, name)
    with pytest.raises(ImageError) as refused:
        read_mask(path)
    assert str(path) in str(refused.value)
    assert f"Set mask_meaning of Load Dataset to {meanings}, or save" in str(refused.value)
    for meaning in meanings.split(" or "):
        assert f"({meaning}: " in str(refused.value), "each is said with what it would weigh"
        assert read_mask(path, MaskMeaning(meaning)).meaning is MaskMeaning(meaning)


def test_a_layer_with_nothing_on_it_is_empty(write_mask: Write) -> None:
    for inside in (BLACK, WHITE):
        assert not load_mask(write_mask(with_alpha(colour(inside, inside), np.zeros((H, W), np.uint8)))).any()


def test_noise_in_the_channels_of_a_grey_jpeg_is_no_colour(write_mask: Write) -> None:
    noise = np.random.default_rng(0).integers(-5, 6, (H, W, 3))
    read = read_mask(
        write_mask(np.clip(colour(WHITE).astype(int) + noise, 0, 255).astype(np.uint8), "mask.jpg", quality=95)
    )
    assert read.meaning is MaskMeaning.BRIGHTNESS
    assert read.mask_HW[INSIDE] > 245
    assert read.key == "", "it is read as it always was"


@pytest.mark.parametrize("width", [2, 3, 4])
def test_a_mask_is_three_pixels_wide_and_no_row_of_colours(write_mask: Write, width: int) -> None:
    columns_HW = np.tile(np.arange(1, width + 1, dtype=np.uint8), (8, 1))
    with pytest.raises(ImageError, match=r"brightness: .* or .*nonzero: "):
        load_mask(write_mask(columns_HW, "labels.png"))
    alpha_HW = np.where(columns_HW == 1, 0, 255).astype(np.uint8)
    under_HWC = np.full((8, width, 3), 40, np.uint8)
    read = read_mask(write_mask(with_alpha(under_HWC, alpha_HW), "alpha.png"))
    assert (read.meaning, read.key) == (MaskMeaning.ALPHA, "")
    assert np.array_equal(read.mask_HW, alpha_HW)
