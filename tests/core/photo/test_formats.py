"""Files that other libraries read, the limit of pixels, and what is said where a library is missing."""

import io
import sys

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_fitted
from maskloss.core.errors import ImageError
from maskloss.core.images import has_alpha, image_size, load_image, load_mask, picture_facts
from maskloss.core.photo.colour_profile import ProfileUse
from maskloss.core.photo.formats import IMAGE_SUFFIXES, PILLOW_FORMATS, PILLOW_SUFFIXES, is_picture
from PIL import Image

from .pictures import chunk, corner, corners, encoded, exif, png, profile, segment

TURNED = exif((0x0112, 3, 1, b"\6\0\0\0"))


# Vector graphics, films, scientific data, fonts' and toys' formats, and what only Pillow itself ever wrote.
NOT_PICTURES = {
    "EPS", "WMF", "MPEG", "FLI", "BUFR", "GRIB", "HDF5", "FITS", "FPX", "MIC", "IPTC", "GBR", "GD", "IMT", "IM", "MSP",
    "MCIDAS", "PCD", "PIXAR", "SPIDER", "SUN", "XBM", "XPM", "XVTHUMB", "WAL", "FTEX", "BLP", "CUR", "DCX", "MPO",
    "PDF", "VTF", "HEIF", "JXL", "DICOM",
}  # fmt: skip


def test_what_pillow_reads_is_read_or_left_out_on_purpose():
    Image.init()
    assert set(PILLOW_FORMATS) <= set(Image.OPEN)
    assert set(Image.OPEN) - set(PILLOW_FORMATS) <= NOT_PICTURES
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in PILLOW_FORMATS}
    assert known - set(IMAGE_SUFFIXES) <= {".pfm", ".jif"}
    assert len(set(IMAGE_SUFFIXES)) == len(IMAGE_SUFFIXES)


@pytest.mark.parametrize("suffix", PILLOW_SUFFIXES)
def test_every_suffix_of_pillows_is_read(tmp_path, suffix):
    others = {".apng": "PNG", ".jfi": "JPEG", ".avifs": "AVIF", ".jpc": "JPEG2000"}
    kind = Image.registered_extensions().get(suffix, others.get(suffix))
    if kind == "PSD":
        head = b"8BPS\0\1" + bytes(6) + b"\0\3" + (48).to_bytes(4, "big") + (80).to_bytes(4, "big") + b"\0\x08\0\3"
        (tmp_path / "a.psd").write_bytes(head + bytes(14) + corner().transpose(2, 0, 1).tobytes())
    else:
        options = {"sizes": [(48, 48)]} if kind == "ICO" else {}
        pixels = corner()[:48, :48] if kind in ("ICO", "ICNS") else corner()
        if kind == "PPM" and suffix in (".pgm", ".pbm"):
            pixels = pixels[..., 0]
        Image.fromarray(pixels).save(tmp_path / f"a{suffix}", "JPEG" if kind == "MPO" else kind, **options)
    rgb, _ = load_image(tmp_path / f"a{suffix}")
    assert image_size(tmp_path / f"a{suffix}") == rgb.shape[1::-1]
    assert is_picture(tmp_path / f"a{suffix}")
    assert corners(rgb) == [suffix not in (".pgm", ".pbm"), False, False, False]


def test_a_file_without_suffix_is_known_by_its_content(tmp_path):
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "JPEG2000"):
        (tmp_path / "IMG_1").write_bytes(encoded(Image.fromarray(corner()), kind))
        assert is_picture(tmp_path / "IMG_1"), kind
    (tmp_path / "LICENSE").write_text("no picture")
    assert not is_picture(tmp_path / "LICENSE")
    assert not is_picture(tmp_path / "absent")


@pytest.mark.parametrize(
    ("module", "suffix", "package"),
    [("pillow_heif", ".heic", "pillow-heif"), ("pillow_jxl", ".jxl", "pillow-jxl-plugin"), ("rawpy", ".dng", "rawpy")],
)
def test_a_missing_library_is_named(tmp_path, monkeypatch, module, suffix, package):
    monkeypatch.setitem(sys.modules, module, None)
    head = {".heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ".jxl": b"\xff\x0a" + bytes(40), ".dng": b"II*\0"}[suffix]
    (tmp_path / f"a{suffix}").write_bytes(head + bytes(64))
    for read in (load_image, load_mask, image_size, has_alpha):
        with pytest.raises(ImageError, match=rf"a\{suffix}.*{package}.*maskloss\[photos\]"):
            read(tmp_path / f"a{suffix}")
    if suffix == ".heic":  # a telephone's photograph under a wrong name
        (tmp_path / "a.jpg").write_bytes(head + bytes(64))
        with pytest.raises(ImageError, match=package):
            load_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("content", [None, TURNED])
def test_heic_is_turned_once_and_converted(tmp_path, content):
    heif = pytest.importorskip("pillow_heif")
    stored = corner()
    file = heif.from_pillow(Image.fromarray(stored))
    options = {} if content is None else {"exif": content}
    file.info["icc_profile"], file.info["icc_profile_type"] = profile("Display P3"), "prof"
    file.save(tmp_path / "a.heic", quality=95, **options)
    rgb, alpha = load_image(tmp_path / "a.heic")
    expected = corners(np.rot90(stored, -1)) if content else corners(stored)
    assert alpha is None
    assert corners(rgb) == expected
    assert image_size(tmp_path / "a.heic") == rgb.shape[1::-1] == ((48, 80) if content else (80, 48))
    with Image.open(io.BytesIO(encoded(Image.fromarray(stored), "PNG"))) as plain:
        assert plain.size == (80, 48)
    assert np.abs(rgb[:, -20:].mean((0, 1)) - 90).max() < 4 or content is not None
    assert picture_facts(tmp_path / "a.heic").profile_use in (ProfileUse.CONVERTED, ProfileUse.NONE)


def test_jpeg_xl_of_pixels_and_of_a_jpeg(tmp_path):
    jxl = pytest.importorskip("pillow_jxl")
    stored = corner()
    Image.fromarray(stored).save(tmp_path / "a.jxl", lossless=True)
    assert np.array_equal(load_image(tmp_path / "a.jxl")[0], stored)
    assert image_size(tmp_path / "a.jxl") == (80, 48)
    rgba = np.dstack([stored, np.full((48, 80), 128, np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "b.jxl", lossless=True)
    assert has_alpha(tmp_path / "b.jxl")
    assert (load_image(tmp_path / "b.jxl")[1] == 128).all()
    # A telephone's JPEG, packed: EXIF turns it, for its pixels are stored as they were.
    content = encoded(Image.fromarray(stored), "JPEG", quality=95, icc_profile=profile("Adobe RGB"))
    turned = content[:2] + segment(0xE1, b"Exif\0\0" + TURNED) + content[2:]
    (tmp_path / "c.jpg").write_bytes(turned)
    packed = jxl.Encoder(mode="RGB", lossless=True)(turned, 80, 48, jpeg_encode=True)
    (tmp_path / "c.jxl").write_bytes(packed)
    assert np.array_equal(load_image(tmp_path / "c.jxl")[0], load_image(tmp_path / "c.jpg")[0])
    assert image_size(tmp_path / "c.jxl") == (48, 80)
    assert picture_facts(tmp_path / "c.jxl").profile_use is ProfileUse.CONVERTED


def test_a_very_large_jpeg_is_decoded_smaller_where_it_is_shrunk_anyway(tmp_path, monkeypatch):
    pixels = np.zeros((800, 1200, 3), np.uint8)
    pixels[:, :600] = 200
    exif_block = Image.Exif()
    exif_block[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif_block)
    assert load_image(tmp_path / "a.jpg", (64, 96))[0].shape == (1200, 800, 3)
    monkeypatch.setattr("maskloss.core.images.LARGE_PX", 500_000)
    small = load_image(tmp_path / "a.jpg", (64, 96))[0]
    assert small.shape == (300, 200, 3)  # a quarter; an eighth would be less than twice the width
    assert small[:140].mean() > 195
    assert small[160:].mean() < 5
    assert load_image(tmp_path / "a.jpg")[0].shape == (1200, 800, 3)
    assert image_size(tmp_path / "a.jpg") == (800, 1200)
    Image.new("L", (80, 120), 255).save(tmp_path / "m.png")
    item = DatasetItem("a", tmp_path / "a.jpg", LoadSettings(), tmp_path / "m.png")
    loaded = load_fitted(item, (64, 96))
    assert loaded.rgb_THWC.shape[:3] == (1, 96, 64)
    assert loaded.weights_THW is not None
    np.testing.assert_array_equal(loaded.weights_THW, np.ones((1, 96, 64), np.float32))


def test_metadata_is_not_written_again(tmp_path):
    from maskloss.core.images import save_image

    (tmp_path / "a.png").write_bytes(png(Image.fromarray(corner()), chunk(b"tEXt", b"Comment\0secret place")))
    save_image(tmp_path / "b.png", load_image(tmp_path / "a.png")[0])
    assert {key for key in Image.open(tmp_path / "b.png").info} == set()
