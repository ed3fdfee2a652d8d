"""Colours come out as sRGB, by the definition of their profile."""

import io
import struct
import zlib

import numpy as np
import pytest
from maskloss.core.images import conversion_of, load_image, load_mask, picture_facts
from maskloss.core.mask_meaning import MaskMeaning
from maskloss.core.photo.colour_profile import ProfileUse
from PIL import Image, ImageCms, features

from .pictures import chunk, cmyk_profile, encoded, grey_profile, png, profile, srgb_profile, to_srgb

COLOURS = np.random.default_rng(1).integers(0, 256, (32, 48, 3), dtype=np.uint8)
PICTURE = Image.fromarray(COLOURS)


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB", "ProPhoto"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_wide_profiles_are_applied(tmp_path, name, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    (tmp_path / "a").write_bytes(encoded(PICTURE, kind, icc_profile=profile(name), **options))
    rgb = load_image(tmp_path / "a")[0]
    # Where a channel is clipped, the colour lies outside sRGB, and 8 bits of a wide space are coarse in the shadows.
    expected = to_srgb(COLOURS, name)
    assert np.abs(rgb - expected).max() < (6 if name == "ProPhoto" else 3)
    assert np.abs(rgb.astype(int) - COLOURS).max() > 25
    assert picture_facts(tmp_path / "a").profile_use is ProfileUse.CONVERTED
    assert conversion_of(tmp_path / "a") == ("sRGB",)
    # Weights have no colour.
    assert np.array_equal(load_mask(tmp_path / "a", MaskMeaning.BRIGHTNESS), np.asarray(PICTURE.convert("L")))


def test_jpeg_and_avif(tmp_path):
    flat = Image.new("RGB", (64, 64), (200, 60, 40))
    for kind in ("JPEG", *(["AVIF"] if features.check("avif") else [])):
        (tmp_path / "a").write_bytes(encoded(flat, kind, quality=95, icc_profile=profile("Display P3")))
        expected = to_srgb(np.array([[[200.0, 60.0, 40.0]]]), "Display P3")[0, 0]
        assert np.abs(load_image(tmp_path / "a")[0].mean((0, 1)) - expected).max() < 3, kind


@pytest.mark.parametrize("stored", [profile("sRGB"), srgb_profile()])
def test_srgb_by_any_name_changes_nothing(tmp_path, stored):
    PICTURE.save(tmp_path / "a.png", icc_profile=stored)
    assert np.array_equal(load_image(tmp_path / "a.png")[0], COLOURS)
    assert picture_facts(tmp_path / "a.png").profile_use is ProfileUse.SRGB
    assert conversion_of(tmp_path / "a.png") == ()


@pytest.mark.parametrize("broken", [b"no profile", b"\0" * 200, profile("Adobe RGB")[:150], grey_profile(2.2)])
def test_broken_and_unfitting_profiles_are_ignored(tmp_path, broken):
    PICTURE.save(tmp_path / "a.png", icc_profile=broken)
    assert np.array_equal(load_image(tmp_path / "a.png")[0], COLOURS)
    assert picture_facts(tmp_path / "a.png").profile_use is ProfileUse.BROKEN
    assert conversion_of(tmp_path / "a.png") == ()
    (tmp_path / "b.png").write_bytes(png(PICTURE, chunk(b"iCCP", b"x\0\0no zlib")))
    assert picture_facts(tmp_path / "b.png").profile_use is ProfileUse.BROKEN


def test_a_grey_profile_says_how_bright_greys_are(tmp_path):
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(4, 0)
    Image.fromarray(ramp).save(tmp_path / "a.png", icc_profile=grey_profile(1.8))
    rgb = load_image(tmp_path / "a.png")[0]
    linear = (ramp / 255) ** 1.8
    expected = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    assert np.abs(rgb - expected[..., None]).max() < 2
    assert np.abs(rgb[..., 0].astype(int) - ramp).max() > 15
    assert np.array_equal(load_mask(tmp_path / "a.png"), ramp)
    Image.fromarray(ramp).save(tmp_path / "b.png", icc_profile=profile("Display P3"))
    assert np.array_equal(load_image(tmp_path / "b.png")[0][..., 0], ramp)


def test_alpha_stays_as_it_is_and_hidden_colour_is_converted(tmp_path):
    alpha = np.arange(32 * 48, dtype=np.uint32).reshape(32, 48).astype(np.uint8)
    Image.fromarray(np.dstack([COLOURS, alpha])).save(tmp_path / "a.png", icc_profile=profile("Adobe RGB"))
    rgb, found = load_image(tmp_path / "a.png")
    assert np.array_equal(found, alpha)
    assert np.abs(rgb - to_srgb(COLOURS, "Adobe RGB")).max() < 3


def cmyk_picture() -> tuple[Image.Image, np.ndarray]:
    """Every mixture of no and full inks in blocks of 16 px, and the inks (2,2,2,2,4) of the blocks in a row."""
    inks = np.stack(np.meshgrid(*[(0, 255)] * 4, indexing="ij"), -1).astype(np.uint8)
    blocks = inks.reshape(1, 16, 4).repeat(16, 0).repeat(16, 1)
    return Image.frombytes("CMYK", (256, 16), blocks.tobytes()), inks


def middles(rgb_HWC: np.ndarray) -> np.ndarray:
    return rgb_HWC[8, 8::16].astype(int)


def test_cmyk_is_converted_by_its_own_profile(tmp_path):
    picture, inks = cmyk_picture()
    # Inks of a press: none is pure, and black on top of them is darkest.
    cyan, magenta, yellow, black = np.moveaxis(inks / 255, -1, 0)[..., None]
    paper = np.array([255.0, 255.0, 255.0])
    corners = (
        paper * (1 - cyan * (0.9, 0.4, 0.15)) * (1 - magenta * (0.12, 0.85, 0.4)) * (1 - yellow * (0.02, 0.08, 0.8))
    ) * (1 - 0.9 * black)
    corners[1, 1, 1, 1] = 0
    picture.save(tmp_path / "a.jpg", quality=100, subsampling=0, icc_profile=cmyk_profile(corners))
    expected = corners.reshape(16, 3)
    found = middles(load_image(tmp_path / "a.jpg")[0])
    assert np.abs(found - expected).max() < 5  # Lab of 8 bits is coarse
    assert picture_facts(tmp_path / "a.jpg").profile_use is ProfileUse.CONVERTED
    assert conversion_of(tmp_path / "a.jpg") == ("sRGB",)
    # By the plain formula, which knows no press, colours are far off.
    picture.save(tmp_path / "b.jpg", quality=100, subsampling=0)
    plain = middles(load_image(tmp_path / "b.jpg")[0])
    inks_N4 = inks.reshape(16, 4).astype(int)
    assert np.abs(plain - (255 - inks_N4[:, :3]) * (255 - inks_N4[:, 3:]) / 255).max() < 3
    assert np.abs(plain - expected).max() > 80
    assert picture_facts(tmp_path / "b.jpg").profile_use is ProfileUse.NONE


def test_a_profile_for_another_kind_of_picture_is_ignored_in_cmyk(tmp_path):
    picture, _ = cmyk_picture()
    picture.save(tmp_path / "a.jpg", quality=100, subsampling=0, icc_profile=profile("Adobe RGB"))
    picture.save(tmp_path / "b.jpg", quality=100, subsampling=0)
    assert picture_facts(tmp_path / "a.jpg").profile_use is ProfileUse.BROKEN
    assert np.array_equal(load_image(tmp_path / "a.jpg")[0], load_image(tmp_path / "b.jpg")[0])


def test_palettes_are_converted(tmp_path):
    small = PICTURE.quantize(16)
    small.save(tmp_path / "a.png", icc_profile=profile("Adobe RGB"))
    expected = to_srgb(np.asarray(small.convert("RGB")), "Adobe RGB")
    assert np.abs(load_image(tmp_path / "a.png")[0] - expected).max() < 3


def test_lab_is_read(tmp_path):
    lab = ImageCms.profileToProfile(
        PICTURE, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    lab.save(tmp_path / "a.tif")
    middle = (COLOURS > 60).all(2)
    assert np.abs(load_image(tmp_path / "a.tif")[0].astype(int) - COLOURS)[middle].mean() < 3
    assert lab.info["icc_profile"]
    assert picture_facts(tmp_path / "a.tif").profile_use is ProfileUse.NONE


@pytest.mark.parametrize(
    ("chunks", "untagged"),
    [
        ([chunk(b"gAMA", (45455).to_bytes(4, "big"))], False),
        ([chunk(b"gAMA", (100000).to_bytes(4, "big"))], True),
        ([chunk(b"gAMA", (100000).to_bytes(4, "big")), chunk(b"sRGB", b"\0")], False),
        ([chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000))], True),
        ([chunk(b"cICP", bytes((12, 13, 0, 1)))], True),
        ([chunk(b"cICP", bytes((1, 13, 0, 1)))], False),
        ([], False),
    ],
)  # fmt: skip
def test_colours_named_by_other_chunks_are_not_applied_and_told(tmp_path, chunks, untagged):
    (tmp_path / "a.png").write_bytes(png(PICTURE, *chunks))
    assert np.array_equal(load_image(tmp_path / "a.png")[0], COLOURS)
    assert picture_facts(tmp_path / "a.png").untagged is untagged


def test_a_large_profile_in_a_png_is_applied(tmp_path):
    # Pillow refuses more than a megabyte of it.
    noise = np.random.default_rng(2).bytes(2 << 20)
    stored = profile("Adobe RGB") + noise
    (tmp_path / "a.png").write_bytes(png(PICTURE, chunk(b"iCCP", b"large\0\0" + zlib.compress(stored))))
    assert picture_facts(tmp_path / "a.png").profile_use in (ProfileUse.CONVERTED, ProfileUse.BROKEN)
    assert load_image(tmp_path / "a.png")[0].shape == COLOURS.shape


def test_sixteen_bits_a_channel_keep_their_level(tmp_path):
    import cv2

    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    for name in ("a.png", "a.tif"):
        cv2.imwrite(str(tmp_path / name), np.dstack([values] * 3))
        assert np.array_equal(load_image(tmp_path / name)[0][..., 0], values // 257)
    stream = io.BytesIO((tmp_path / "a.png").read_bytes())
    assert Image.open(stream).mode == "RGB"
