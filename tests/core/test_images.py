"""Files as people have them: orientations, depths, palettes, damage."""

import io
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from maskloss.core.errors import ImageError
from maskloss.core.images import has_alpha, image_size, load_image, load_mask, load_thumbnail, save_image
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngImageFile

# How a camera stores an upright picture under each EXIF orientation: the inverse of what a viewer does.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def upright() -> np.ndarray:
    pixels = np.zeros((48, 80, 3), np.uint8)
    pixels[:16, :24] = (255, 0, 0)
    pixels[32:, 40:] = (0, 255, 0)
    return pixels


def save_turned(path, pixels, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation](pixels))).save(path, exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
def test_all_eight_orientations_for_image_and_mask(tmp_path, orientation, suffix):
    image, mask = tmp_path / f"a{suffix}", tmp_path / f"m{suffix}"
    save_turned(image, upright(), orientation)
    save_turned(mask, upright().max(axis=2), orientation)
    rgb, alpha = load_image(image)
    assert alpha is None
    assert image_size(image) == (80, 48) == image_size(mask)
    assert np.abs(rgb.astype(int) - upright()).mean() < 4
    assert np.abs(load_mask(mask).astype(int) - upright().max(axis=2)).mean() < 4


def test_orientation_is_applied_once(tmp_path):
    # A file that another tool already turned, its tag reset, stays as it is.
    save_turned(tmp_path / "a.png", upright(), 6)
    with Image.open(tmp_path / "a.png") as image:
        ImageOps.exif_transpose(image).save(tmp_path / "b.png")
    assert np.array_equal(load_image(tmp_path / "b.png")[0], upright())


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (128 * 257, 128), (32768, 128), (80 * 257, 80), (65535, 255)])
def test_sixteen_bit_grey_keeps_its_tier(tmp_path, value, expected):
    path = tmp_path / "m.png"
    cv2.imwrite(str(path), np.full((6, 7), value, np.uint16))
    assert (load_mask(path) == expected).all()
    assert load_image(path)[0].shape == (6, 7, 3)


def test_sixteen_bit_rgb(tmp_path):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((4, 4, 3), 200 * 257, np.uint16))
    assert (load_image(path)[0] == 200).all()


def test_thirty_two_bit_integers_and_floats_are_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 70_000, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="70000"):
        load_image(tmp_path / "a.tif")
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "b.tif")
    with pytest.raises(ImageError, match="float"):
        load_image(tmp_path / "b.tif")


def test_palette_with_transparency_and_grey_with_alpha(tmp_path):
    image = Image.fromarray(upright()).quantize(4)
    index = image.getpixel((0, 0))
    image.save(tmp_path / "p.png", transparency=index)
    rgb, alpha = load_image(tmp_path / "p.png")
    assert has_alpha(tmp_path / "p.png")
    assert np.array_equal(alpha == 0, (upright() == (255, 0, 0)).all(axis=2))
    assert np.array_equal(rgb, upright())
    grey = np.full((5, 6), 90, np.uint8)
    ramp = np.arange(30, dtype=np.uint8).reshape(5, 6)
    Image.merge("LA", [Image.fromarray(grey), Image.fromarray(ramp)]).save(tmp_path / "la.png")
    rgb, alpha = load_image(tmp_path / "la.png")
    assert (rgb == 90).all()
    assert np.array_equal(alpha, ramp)


def test_palette_without_transparency_has_no_alpha(tmp_path):
    Image.fromarray(upright()).quantize(4).save(tmp_path / "p.png")
    assert not has_alpha(tmp_path / "p.png")
    rgb, alpha = load_image(tmp_path / "p.png")
    assert alpha is None
    assert np.array_equal(rgb, upright())


def test_cmyk_and_one_bit(tmp_path):
    Image.fromarray(upright()).convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    assert np.abs(load_image(tmp_path / "c.jpg")[0].astype(int) - upright()).mean() < 6
    Image.fromarray(upright()[..., 0]).convert("1").save(tmp_path / "b.png")
    assert set(np.unique(load_mask(tmp_path / "b.png"))) == {0, 255}


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_animated_files_give_their_first_frame(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    frames = [Image.fromarray(np.full((8, 8, 3), v, np.uint8)) for v in (200, 10)]
    options = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    assert (load_image(path)[0] == 200).all()


def test_a_mask_that_lives_in_alpha_alone(tmp_path):
    ramp = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    save_image(tmp_path / "m.png", np.dstack([np.zeros((8, 8, 3), np.uint8), ramp]))
    assert np.array_equal(load_mask(tmp_path / "m.png"), ramp)
    save_image(tmp_path / "n.png", np.dstack([np.repeat(ramp[..., None], 3, 2), np.full((8, 8), 255, np.uint8)]))
    assert np.array_equal(load_mask(tmp_path / "n.png"), ramp)


def test_damage_is_an_error_that_names_the_file(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:4000])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name in ("cut.png", "text.png", "empty.jpg", "absent.png"):
        with pytest.raises(ImageError, match=name):
            load_image(tmp_path / name)
    with pytest.raises(ImageError, match=r"text\.png"):
        image_size(tmp_path / "text.png")


def test_saving_refuses_what_would_be_lost(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(ImageError, match="no alpha"):
        save_image(tmp_path / "a.jpg", rgba)
    with pytest.raises(ImageError, match="suffix"):
        save_image(tmp_path / "a.xyz", rgba)
    with pytest.raises(ImageError, match="float64"):
        save_image(tmp_path / "a.png", np.zeros((4, 4)))
    assert list(tmp_path.iterdir()) == []


def chunk(kind: bytes, content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_size_of_a_png_is_upright_without_decoding_it(tmp_path, monkeypatch, place):
    # Pillow decodes the whole PNG to look for an orientation behind its pixels; 10 000 photographs have no time.
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(buffer, "PNG")
    cut = {"before": 33, "after": len(buffer.getvalue()) - 12}[place]
    turned = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    (tmp_path / "turned.png").write_bytes(buffer.getvalue()[:cut] + turned + buffer.getvalue()[cut:])
    (tmp_path / "plain.png").write_bytes(buffer.getvalue())
    assert image_size(tmp_path / "turned.png") == (6, 9)
    assert load_image(tmp_path / "turned.png")[0].shape == (9, 6, 3)
    noise = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(noise, "PNG")
    (tmp_path / "cut.png").write_bytes(noise.getvalue()[:4000])
    with pytest.raises(ImageError, match=r"cut\.png"):
        image_size(tmp_path / "cut.png")
    monkeypatch.setattr(PngImageFile, "load", lambda self: pytest.fail("decoded"))
    assert image_size(tmp_path / "plain.png") == (9, 6)
    if place == "before":
        assert image_size(tmp_path / "turned.png") == (6, 9)


@pytest.mark.parametrize(("top", "expected"), [(255, 255), (128, 128), (65535, 255)])
def test_a_32_bit_tiff_means_8_bits_where_it_holds_no_more(tmp_path, top, expected):
    Image.fromarray(np.array([[0, top]], np.int32)).save(tmp_path / "a.tif")
    assert load_mask(tmp_path / "a.tif").tolist() == [[0, expected]]


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_thumbnail_is_the_picture_made_smaller(tmp_path: Path, suffix: str) -> None:
    rows, columns = np.mgrid[0:600, 0:900]
    rgb_HWC = np.stack([rows // 3, columns // 4, np.full_like(rows, 90)], 2).astype(np.uint8)
    save_image(tmp_path / f"a{suffix}", rgb_HWC)
    small_HWC = load_thumbnail(tmp_path / f"a{suffix}", 90)
    assert small_HWC.shape == (60, 90, 3)
    shown = rgb_HWC.reshape(60, 10, 90, 10, 3).mean(axis=(1, 3))
    assert np.abs(small_HWC - shown).mean() < 2
    assert np.array_equal(load_thumbnail(tmp_path / "a.png", 900), rgb_HWC) if suffix == ".png" else True
