"""Opening a picture: by its content, within our limit of pixels, past Pillow's guards."""

import io

import numpy as np
import pytest
from maskloss.core.errors import ImageError, SettingError
from maskloss.core.images import image_size, load_image, load_mask
from maskloss.core.photo import open_picture
from PIL import Image

from .pictures import chunk, corner, encoded


def large_png(width: int, height: int) -> bytes:
    """The header of a large picture, and no pixels to speak of."""
    small = encoded(Image.new("L", (1, 1)), "PNG")
    header = chunk(b"IHDR", width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\0\0\0\0")
    return small[:8] + header + small[33:]


def test_the_limit_is_ours_and_is_looked_at_before_decoding(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(large_png(16320, 12240))
    assert image_size(path) == (16320, 12240)  # 200 megapixels, more than Pillow opens
    path.write_bytes(large_png(30000, 20000))
    for read in (image_size, load_image, load_mask):
        with pytest.raises(ImageError, match=r"30000x20000 = 600 megapixels, and 512 .*MASKLOSS_MAX_MEGAPIXELS"):
            read(path)
    monkeypatch.setenv("MASKLOSS_MAX_MEGAPIXELS", "700")
    assert image_size(path) == (30000, 20000)
    monkeypatch.setenv("MASKLOSS_MAX_MEGAPIXELS", "0.001")
    path.write_bytes(large_png(50, 40))
    with pytest.raises(ImageError, match=r"0\.001 are read"):
        image_size(path)
    for wrong in ("many", "-1", "0", "inf", "nan"):
        monkeypatch.setenv("MASKLOSS_MAX_MEGAPIXELS", wrong)
        with pytest.raises(SettingError, match="MASKLOSS_MAX_MEGAPIXELS"):
            image_size(path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif", ".bmp", ".avif", ".jp2"])
def test_pillows_own_limit_is_not_heard_of(tmp_path, monkeypatch, suffix):
    Image.fromarray(corner()).save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    expected = load_image(tmp_path / f"a{suffix}")[0]
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert np.array_equal(load_image(tmp_path / f"a{suffix}")[0], expected)
    assert image_size(tmp_path / f"a{suffix}") == (80, 48)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_decoder_without_its_guard_gives_the_same_pixels():
    rgba = np.dstack([corner(), np.full((48, 80), 7, np.uint8)])
    for pixels in (corner(), rgba, corner()[..., 0]):
        stream = io.BytesIO(encoded(Image.fromarray(pixels), "PNG"))
        assert np.array_equal(np.asarray(open_picture._decode_large(stream)), pixels)


def test_a_postscript_program_in_a_jpeg_is_not_run(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with pytest.raises(ImageError, match="not known"):
        load_image(tmp_path / "a.jpg")
