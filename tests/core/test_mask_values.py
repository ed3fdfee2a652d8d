"""What mask files hold is read channel by channel, in any depth and turn."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from maskloss.core.errors import ImageError
from maskloss.core.images import load_image, load_mask, read_mask
from PIL import Image

from .mask_files import (
    RED,
    H,
    W,
    Write,
    colour,
    shape,
)


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


def test_sixteen_bits_in_which_0_is_white_are_turned(write_mask: Write) -> None:
    soft_HW = cv2.GaussianBlur(shape(), (9, 9), 0)
    path = write_mask(Image.fromarray(65535 - soft_HW.astype(np.uint16) * 257), "mask.tif")
    # The tag that says which of 0 and 65535 is white, of type SHORT.
    black_is_zero, white_is_zero = (struct.pack("<HHIH", 262, 3, 1, value) for value in (1, 0))
    content = path.read_bytes()
    assert content.count(black_is_zero) == 1
    path.write_bytes(content.replace(black_is_zero, white_is_zero))
    assert np.array_equal(load_mask(path), soft_HW)
    assert np.array_equal(load_image(path)[0][..., 1], soft_HW)


def test_orientation_turns_deep_masks_as_well(write_mask: Write, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = colour(RED).astype(np.uint16) * 257
    deep[:16] = (65535, 0, 0)
    plain = write_mask(Image.fromarray((deep // 257).astype(np.uint8)), "plain.png", exif=exif)
    content = write_mask(deep, "deep.png").read_bytes()
    chunk = plain.read_bytes()
    start = chunk.index(b"eXIf") - 4
    length = int.from_bytes(chunk[start : start + 4], "big") + 12
    # After the header chunk: 8 bytes of signature and 25 of IHDR.
    turned = tmp_path / "turned.png"
    turned.write_bytes(content[:33] + chunk[start : start + length] + content[33:])
    assert load_mask(turned).shape == (W, H)
    assert np.array_equal(load_mask(turned), load_mask(plain))
