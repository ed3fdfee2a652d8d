"""Every kind of mask file means what the rule says, or is refused with its meanings and the input that decides."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.errors import ImageError
from maskloss.core.images import load_image, load_mask, read_mask
from maskloss.core.mask_meaning import MaskMeaning, read_stored
from maskloss.core.mask_readings import StoredMask
from PIL import Image

H, W = 64, 80
INSIDE, OUTSIDE = (32, 40), (4, 72)
Write = Callable[..., Path]


def shape(value: int = 255, dtype: type = np.uint8) -> np.ndarray:
    mask_HW = np.zeros((H, W), dtype)
    mask_HW[16:48, 20:60] = value
    return mask_HW


def colour(inside: tuple[int, int, int], outside: tuple[int, int, int] = (0, 0, 0)) -> np.ndarray:
    rgb_HWC = np.zeros((H, W, 3), np.uint8)
    rgb_HWC[:] = outside
    rgb_HWC[16:48, 20:60] = inside
    return rgb_HWC


def photo() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (H, W, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (7, 7), 0), np.empty(0), 0, 255, cv2.NORM_MINMAX)


def with_alpha(rgb_HWC: np.ndarray, alpha_HW: np.ndarray) -> np.ndarray:
    return np.dstack([rgb_HWC, alpha_HW])


def grey(values_HW: np.ndarray) -> np.ndarray:
    return np.repeat(values_HW[..., None], 3, axis=2)


def palette(indices_HW: np.ndarray, colours: list[int]) -> Image.Image:
    image = Image.fromarray(indices_HW, "P")
    image.putpalette(colours)
    return image


RED, BLACK, WHITE = (255, 0, 0), (0, 0, 0), (255, 255, 255)
VOC_CLASS_1 = [0, 0, 0, 128, 0, 0]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: np.ndarray | Image.Image, name: str = "mask.png", **options: object) -> Path:
        path = tmp_path / name
        if isinstance(content, np.ndarray) and content.dtype == np.uint16 and content.ndim == 3:
            order = [2, 1, 0, 3][: content.shape[2]]
            assert cv2.imwrite(str(path), content[..., order])
        else:
            image = Image.fromarray(content) if isinstance(content, np.ndarray) else content
            image.save(path, **options)
        return path

    return write


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
    write: Write, content: object, name: str, meaning: MaskMeaning
) -> None:
    read = read_mask(write(content, name))
    assert read.meaning is meaning
    assert read.mask_HW.dtype == np.uint8
    assert read.mask_HW[INSIDE] >= (255 if Path(name).suffix not in (".jpg", ".webp") else 253)
    assert read.mask_HW[OUTSIDE] <= (0 if Path(name).suffix not in (".jpg", ".webp") else 2)
    assert read.share == pytest.approx(0.25, abs=0 if Path(name).suffix not in (".jpg", ".webp") else 0.1)


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
def test_what_could_mean_two_things_is_refused(write: Write, content: object, name: str, meanings: str) -> None:
    path = write(content, name)
    with pytest.raises(ImageError) as refused:
        read_mask(path)
    assert str(path) in str(refused.value)
    assert f"Set mask_meaning of Load Dataset to {meanings}, or save" in str(refused.value)
    for meaning in meanings.split(" or "):
        assert f"({meaning}: " in str(refused.value), "each is said with what it would weigh"
        assert read_mask(path, MaskMeaning(meaning)).meaning is MaskMeaning(meaning)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, np.nan], "not numbers"),
        ([0, np.inf], "not numbers"),
        ([-1, 1], "from -1 to 1"),
        ([0, 1000], "from 0 to 1000"),
    ],
)
def test_floats_without_a_known_range_are_refused(write: Write, values: list[float], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        load_mask(write(np.resize(np.array(values, np.float32), (H, W)), "mask.tif"))


def test_each_meaning_can_be_asked_for(write: Write) -> None:
    rgb_HWC = colour(RED, WHITE)
    rgb_HWC[:8] = 0
    path = write(with_alpha(rgb_HWC, np.full((H, W), 100, np.uint8)))
    at = {meaning: load_mask(path, meaning) for meaning in MaskMeaning if meaning is not MaskMeaning.AUTO}
    assert [int(mask_HW[INSIDE]) for mask_HW in at.values()] == [76, 100, 255, 255]
    assert [int(mask_HW[20, 5]) for mask_HW in at.values()] == [255, 100, 0, 255], "the white"
    assert [int(mask_HW[OUTSIDE]) for mask_HW in at.values()] == [0, 100, 0, 0], "the black"


def test_what_a_meaning_needs_is_asked_for(write: Write) -> None:
    path = write(shape())
    with pytest.raises(ImageError, match=r"mask_meaning is alpha, but .* has no alpha"):
        load_mask(path, MaskMeaning.ALPHA)
    with pytest.raises(ImageError, match=r"mask_meaning is colour, but .* is grey"):
        load_mask(path, MaskMeaning.COLOUR)
    assert not load_mask(write(shape(0), "black.png"), MaskMeaning.COLOUR).any(), "nobody in the picture"


def test_shades_of_one_colour_keep_their_proportions(write: Write) -> None:
    rgb_HWC = colour(RED)
    rgb_HWC[20:30, 30:40] = (51, 0, 0)
    assert load_mask(write(rgb_HWC))[25, 35] == 51


def test_a_layer_with_nothing_on_it_is_empty(write: Write) -> None:
    for inside in (BLACK, WHITE):
        assert not load_mask(write(with_alpha(colour(inside, inside), np.zeros((H, W), np.uint8)))).any()


def test_dark_lossy_masks_are_no_labels(write: Write) -> None:
    assert load_mask(write(shape(3), "mask.jpg", quality=95)).max() <= 4
    assert load_mask(write(shape(1), "mask.webp", lossless=True))[INSIDE] == 255
    assert load_mask(write(shape(0), "black.png")).max() == 0
    assert (load_mask(write(np.full((H, W), 20, np.uint8), "flat.png")) == 20).all(), "one weight for everything"


def test_noise_in_the_channels_of_a_grey_jpeg_is_no_colour(write: Write) -> None:
    noise = np.random.default_rng(0).integers(-5, 6, (H, W, 3))
    read = read_mask(write(np.clip(colour(WHITE).astype(int) + noise, 0, 255).astype(np.uint8), "mask.jpg", quality=95))
    assert read.meaning is MaskMeaning.BRIGHTNESS
    assert read.mask_HW[INSIDE] > 245
    assert read.key == "", "it is read as it always was"


@pytest.mark.parametrize("width", [2, 3, 4])
def test_a_mask_is_three_pixels_wide_and_no_row_of_colours(write: Write, width: int) -> None:
    columns_HW = np.tile(np.arange(1, width + 1, dtype=np.uint8), (8, 1))
    with pytest.raises(ImageError, match=r"brightness: .* or .*nonzero: "):
        load_mask(write(columns_HW, "labels.png"))
    alpha_HW = np.where(columns_HW == 1, 0, 255).astype(np.uint8)
    under_HWC = np.full((8, width, 3), 40, np.uint8)
    read = read_mask(write(with_alpha(under_HWC, alpha_HW), "alpha.png"))
    assert (read.meaning, read.key) == (MaskMeaning.ALPHA, "")
    assert np.array_equal(read.mask_HW, alpha_HW)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("full", [1, 255])
def test_floats_of_any_width_and_of_equal_channels_are_a_mask(
    tmp_path: Path, channels: int, dtype: type, full: int
) -> None:
    soft_HW = cv2.GaussianBlur(shape(), (9, 9), 0)
    path = tmp_path / "mask.tif"
    assert cv2.imwrite(str(path), np.dstack([(soft_HW / 255 * full).astype(dtype)] * channels))
    assert np.array_equal(load_mask(path), soft_HW)
    with pytest.raises(ImageError, match="32-bit float"):
        load_image(path)


def test_floats_of_different_channels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mask.tif"
    assert cv2.imwrite(str(path), (colour(RED) / 255).astype(np.float32))
    with pytest.raises(ImageError, match="several channels of floats"):
        read_mask(path)


def test_sixteen_bits_in_which_0_is_white_are_turned(write: Write) -> None:
    soft_HW = cv2.GaussianBlur(shape(), (9, 9), 0)
    path = write(Image.fromarray(65535 - soft_HW.astype(np.uint16) * 257), "mask.tif")
    # The tag that says which of 0 and 65535 is white, of type SHORT.
    black_is_zero, white_is_zero = (struct.pack("<HHIH", 262, 3, 1, value) for value in (1, 0))
    content = path.read_bytes()
    assert content.count(black_is_zero) == 1
    path.write_bytes(content.replace(black_is_zero, white_is_zero))
    assert np.array_equal(load_mask(path), soft_HW)
    assert np.array_equal(load_image(path)[0][..., 1], soft_HW)


def test_orientation_turns_deep_masks_as_well(write: Write, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = colour(RED).astype(np.uint16) * 257
    deep[:16] = (65535, 0, 0)
    plain = write(Image.fromarray((deep // 257).astype(np.uint8)), "plain.png", exif=exif)
    content = write(deep, "deep.png").read_bytes()
    chunk = plain.read_bytes()
    start = chunk.index(b"eXIf") - 4
    length = int.from_bytes(chunk[start : start + 4], "big") + 12
    # After the header chunk: 8 bytes of signature and 25 of IHDR.
    turned = tmp_path / "turned.png"
    turned.write_bytes(content[:33] + chunk[start : start + length] + content[33:])
    assert load_mask(turned).shape == (W, H)
    assert np.array_equal(load_mask(turned), load_mask(plain))


@settings(deadline=None)
@given(values=st.lists(st.integers(0, 255), min_size=2, max_size=64))
def test_plain_grey_masks_are_read_bit_for_bit(values: list[int]) -> None:
    mask_HW = np.array(values, np.uint8)[None]
    if mask_HW.max() >= 32:
        read = read_stored(StoredMask("grey, 8 bits", 8, mask_HW), MaskMeaning.AUTO, "a mask")
        assert np.array_equal(read.mask_HW, mask_HW)
        assert (read.meaning, read.key) == (MaskMeaning.BRIGHTNESS, "")


@settings(deadline=None)
@given(
    hue=st.tuples(*[st.integers(0, 255)] * 3).filter(lambda each: max(each) - min(each) > 64),
    strengths=st.lists(st.integers(0, 255), min_size=1, max_size=40),
)
def test_any_one_colour_on_black_weighs_by_its_strength(hue: tuple[int, int, int], strengths: list[int]) -> None:
    levels = np.array([255, 0, *strengths])
    rgb_HWC = np.rint(levels[None, :, None] / 255 * np.array(hue)).astype(np.uint8)
    read = read_stored(StoredMask("RGB, 8 bits", 8, rgb_HWC), MaskMeaning.AUTO, "a mask")
    assert read.meaning is MaskMeaning.COLOUR
    # Half a level of the darkest and the brightest channel each.
    assert np.abs(read.mask_HW[0].astype(float) - levels).max() <= 1 + 255 / (max(hue) - min(hue))
