"""Grey PNG files with alpha: other programs read ours as they are, and what is not ours is left to these."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import pytest
from maskloss.core.corrections.grey_png import GreyPicture, decode_grey, encode_grey
from PIL import Image


def some(height: int = 150, width: int = 70) -> GreyPicture:
    random = np.random.default_rng(0)
    planes = random.integers(0, 256, (2, height, width), dtype=np.uint8)
    return GreyPicture(planes[0], planes[1], {"maskloss": '{"file": "\\u00e4"}', "two": "x"})


@pytest.mark.parametrize("size", [(1, 1), (64, 3), (65, 9), (150, 70)])
def test_it_is_read_here_and_by_other_programs(size: tuple[int, int]) -> None:
    picture = some(*size)
    content = encode_grey(picture)
    read = decode_grey(content)
    assert read is not None
    assert np.array_equal(read.values_HW, picture.values_HW)
    assert np.array_equal(read.alpha_HW, picture.alpha_HW)
    assert read.texts == picture.texts
    with Image.open(io.BytesIO(content)) as image:
        assert (image.format, image.mode, image.info["maskloss"]) == ("PNG", "LA", picture.texts["maskloss"])
        assert np.array_equal(np.asarray(image), np.dstack([picture.values_HW, picture.alpha_HW]))
    opened_HWC = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(opened_HWC[..., 0], picture.values_HW)
    assert np.array_equal(opened_HWC[..., 3], picture.alpha_HW)


def test_bytes_are_the_same_for_the_same_picture() -> None:
    assert encode_grey(some()) == encode_grey(some())


def test_other_pngs_and_damaged_ones_are_left_to_others() -> None:
    picture = some()
    stream = io.BytesIO()
    Image.fromarray(np.dstack([picture.values_HW, picture.alpha_HW]), "LA").save(stream, "PNG")
    assert decode_grey(stream.getvalue()) is None, "its rows are filtered"
    stream = io.BytesIO()
    Image.fromarray(picture.values_HW).save(stream, "PNG")
    assert decode_grey(stream.getvalue()) is None, "it has no alpha"
    content = encode_grey(picture)
    for cut in (0, 7, 20, 33, len(content) // 2, len(content) - 1):
        assert decode_grey(content[:cut]) is None
    for at in (10, 20, 60, len(content) // 2, len(content) - 20):
        damaged = bytearray(content)
        damaged[at] ^= 0x20
        assert decode_grey(bytes(damaged)) is None


def test_a_file_that_unpacks_to_more_or_less_than_it_says_is_none() -> None:
    content = encode_grey(GreyPicture(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), {}))
    at = content.index(b"IDAT")
    length = int.from_bytes(content[at - 4 : at], "big")
    for rows in (3, 5, 1_000_000):
        packed = zlib.compress(bytes(rows * 9))
        chunk = b"IDAT" + packed
        other = content[: at - 4] + len(packed).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        assert decode_grey(other + content[at + 8 + length :]) is None
