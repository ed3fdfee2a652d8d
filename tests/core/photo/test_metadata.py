"""Nothing that stands beside the pixels of a picture stops it."""

import io
import re
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from maskloss.core.errors import ImageError
from maskloss.core.images import image_size, load_image, load_mask, picture_facts
from maskloss.core.mask_meaning import MaskMeaning
from PIL import Image, PngImagePlugin, features

from .pictures import chunk, encoded, exif, jpeg, png, segment

NOISE = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)
PICTURE = Image.fromarray(NOISE)
TURN_RIGHT = (0x0112, 3, 1, struct.pack("<HH", 6, 0))


def with_exif(kind: str, block: bytes) -> bytes:
    if kind == "PNG":
        return png(PICTURE, chunk(b"eXIf", block))
    if kind == "JPEG":
        return jpeg(PICTURE, segment(0xE1, b"Exif\0\0" + block))
    return encoded(PICTURE, kind, exif=block, **({"lossless": True} if kind == "WEBP" else {"quality": 90}))


def plain(kind: str) -> np.ndarray:
    content = jpeg(PICTURE) if kind == "JPEG" else encoded(PICTURE, kind)
    if kind == "WEBP":
        content = encoded(PICTURE, kind, lossless=True)
    if kind == "AVIF":
        content = encoded(PICTURE, kind, quality=90)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


KINDS = ["PNG", "JPEG", "WEBP", *(["AVIF"] if features.check("avif") else [])]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tag=st.one_of(st.integers(0, 0xFFFF), st.sampled_from([0x0112, 0x8769, 0x8825, 0xA005, 0x02BC, 0x011A])),
    type_=st.integers(0, 20),
    count=st.one_of(st.integers(0, 9), st.integers(0, 0xFFFFFFFF)),
    value=st.binary(min_size=4, max_size=4),
    order=st.sampled_from("<>"),
    rest=st.binary(max_size=64),
)
def test_no_exif_block_stops_a_picture(tmp_path_factory, kind, tag, type_, count, value, order, rest):
    # Pillow's AVIF encoder takes the orientation out of the block, and fails where it is no SHORT.
    assume(kind != "AVIF" or tag != 0x0112)
    path = tmp_path_factory.mktemp("exif") / "a"
    path.write_bytes(with_exif(kind, exif((tag, type_, count, value), order=order) + rest))
    rgb, alpha = load_image(path)
    assert alpha is None
    assert load_mask(path, MaskMeaning.BRIGHTNESS).shape == rgb.shape[:2] == image_size(path)[::-1]
    if tag != 0x0112:
        assert np.array_equal(rgb, plain(kind))
    assert sorted(rgb.shape) == sorted(NOISE.shape)


@pytest.mark.parametrize("kind", KINDS[:3])
@pytest.mark.parametrize(
    "odd",
    [
        (0x0110, 3, 1, b"\1\0\0\0"), (0x011A, 2, 4, b"abc\0"), (0x8769, 2, 4, b"abc\0"), (0x8825, 5, 1, b"\xff" * 4),
        (0x0132, 12, 9, b"\xff" * 4), (0x9286, 7, 0xFFFFFFFF, b"\xff" * 4),
    ],
)  # fmt: skip
def test_the_orientation_is_found_among_odd_tags(tmp_path, kind, odd):
    (tmp_path / "a").write_bytes(with_exif(kind, exif(*sorted([odd, TURN_RIGHT]))))
    assert image_size(tmp_path / "a") == (24, 40)
    assert np.array_equal(load_image(tmp_path / "a")[0], np.rot90(plain(kind), -1))


@pytest.mark.parametrize(
    ("type_", "value", "turned"),
    [(3, b"\6\0\0\0", True), (4, b"\6\0\0\0", True), (1, b"\6\0\0\0", True), (2, b"6\0\0\0", False),
     (5, b"\6\0\0\0", False), (3, b"\x09\0\0\0", False), (3, b"\0\0\0\0", False), (7, b"\6\0\0\0", False)],
)  # fmt: skip
def test_an_orientation_is_a_whole_number_from_1_to_8(tmp_path, type_, value, turned):
    (tmp_path / "a.jpg").write_bytes(with_exif("JPEG", exif((0x0112, type_, 1, value))))
    assert image_size(tmp_path / "a.jpg") == ((24, 40) if turned else (40, 24))


XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_xmp_says_the_orientation_where_exif_does_not(tmp_path, kind):
    content = {
        "PNG": lambda: png(PICTURE, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
        "JPEG": lambda: jpeg(PICTURE, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
        "WEBP": lambda: encoded(PICTURE, "WEBP", lossless=True, xmp=XMP),
        "TIFF": lambda: encoded(PICTURE, "TIFF", tiffinfo={700: XMP}),
    }[kind]()
    (tmp_path / "a").write_bytes(content)
    assert np.array_equal(load_image(tmp_path / "a")[0], np.rot90(plain(kind), 1))


def test_imagemagicks_exif_in_a_text_of_a_png(tmp_path):
    digits = exif(TURN_RIGHT).hex().encode()
    text = b"\nexif\n%8d\n%s\n" % (len(digits) // 2, digits)
    content = chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text))
    (tmp_path / "a.png").write_bytes(png(PICTURE, content))
    assert image_size(tmp_path / "a.png") == (24, 40)


LONG = zlib.compress(b"a" * (70 << 20))


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize(
    "content",
    [
        (b"zTXt", b"Comment\0\0" + LONG), (b"iTXt", b"Comment\0\1\0\0\0" + LONG), (b"iTXt", b""), (b"tEXt", b"no end"),
        (b"zTXt", b"Comment\0\7broken"), (b"iCCP", b"name\0\0" + LONG), (b"iCCP", b"name\0\0broken"), (b"iCCP", b""),
        (b"gAMA", b"1"), (b"cHRM", b"12"), (b"pHYs", b""), (b"sRGB", b""), (b"tIME", b"\xff"), (b"acTL", b"1"),
        (b"eXIf", b""), (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0broken"), (b"zzZz", b"private"), (b"cICP", b""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["before", "behind"])
def test_no_chunk_beside_the_pixels_stops_a_png(tmp_path, content, right, place):
    odd = chunk(*content, right=right)
    (tmp_path / "a.png").write_bytes(png(PICTURE, odd) if place == "before" else png(PICTURE, behind=odd))
    assert image_size(tmp_path / "a.png") == (40, 24)
    assert np.array_equal(load_image(tmp_path / "a.png")[0], NOISE)


def test_what_is_cut_off_behind_the_pixels_of_a_png_is_no_loss(tmp_path):
    (tmp_path / "a.png").write_bytes(png(PICTURE, behind=chunk(b"tEXt", b"Comment\0" + b"x" * 500))[:-300])
    assert np.array_equal(load_image(tmp_path / "a.png")[0], NOISE)


def test_a_wrong_checksum_of_pixels_and_of_transparency_stays_an_error(tmp_path):
    content = bytearray(encoded(PICTURE, "PNG"))
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "b.png").write_bytes(png(PICTURE, chunk(b"tRNS", bytes(6), right=False)))
    for name in ("a.png", "b.png"):
        with pytest.raises(ImageError, match=name):
            load_image(tmp_path / name)


@pytest.mark.parametrize(
    "odd",
    [
        segment(0xE0, b"JFIF"), segment(0xE0, b""), segment(0xE2, b"MPF\0" + bytes(9)), segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xED, b"Photoshop 3.0\08BIM" + b"\xff" * 20), segment(0xEE, b"Adobe"), segment(0xFE, b"\xff" * 50),
        segment(0xE1, b"Exif\0\0"), segment(0xE1, b"Exif\0\0II*\0" + b"\xff" * 90), segment(0xEB, b"\xff" * 90),
        segment(0xE2, b"ICC_PROFILE\0\1\1" + b"x" * 60000), b"\xff" * 7,
    ],
)  # fmt: skip
def test_no_segment_beside_the_pixels_stops_a_jpeg(tmp_path, odd):
    (tmp_path / "a.jpg").write_bytes(jpeg(PICTURE, odd))
    assert np.array_equal(load_image(tmp_path / "a.jpg")[0], plain("JPEG"))


def test_a_jpeg_in_cmyk_keeps_the_mark_that_says_so(tmp_path):
    PICTURE.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    expected = np.asarray(Image.open(tmp_path / "a.jpg").convert("RGB"))
    assert np.array_equal(load_image(tmp_path / "a.jpg")[0], expected)


def tiff(entries: list[tuple[int, int, int, int]], order: str, big: bool, pages: int = 1) -> bytes:
    """An uncompressed grey TIFF of 6 by 4 pixels, 0 to 23, with these entries added."""
    field, count = ("Q", "Q") if big else ("I", "H")
    mark = b"II" if order == "<" else b"MM"
    head = 16 if big else 8
    pixels = bytes(range(24))
    shorts = {256: 6, 257: 4, 258: 8, 259: 1, 262: 1, 277: 1, 278: 4}
    own = [*((tag, 3, 1, value) for tag, value in shorts.items()), (273, 4, 1, head), (279, 4, 1, 24)]
    body = b""
    for tag, kind, number, value in sorted(own + entries):
        size = {1: "B", 2: "B", 3: "H", 4: "I"}.get(kind, "I")
        stored = struct.pack(order + size, value).ljust(8 if big else 4, b"\0")
        body += struct.pack(order + "HH" + field, tag, kind, number) + stored
    directory = struct.pack(order + count, len(own) + len(entries)) + body
    start = struct.pack(order + "HHHQ", 43, 8, 0, head + 24) if big else struct.pack(order + "HI", 42, head + 24)
    places = [head + 24 + page * (len(directory) + struct.calcsize(field)) for page in range(1, pages)]
    return mark + start + pixels + b"".join(directory + struct.pack(order + field, p) for p in [*places, 0])


# Pillow reads no BigTIFF of the other byte order.
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_no_tag_beside_the_pixels_stops_a_tiff(tmp_path, order, big):
    odd = [(270, 3, 1, 7), (282, 2, 4, 7), (305, 12, 90, 7), (700, 1, 0xFFFFFF, 9), (34665, 4, 1, 3), (34675, 7, 99, 3)]
    (tmp_path / "a.tif").write_bytes(tiff(odd, order, big))
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert np.array_equal(load_image(tmp_path / "a.tif")[0][..., 0], grey)
    (tmp_path / "b.tif").write_bytes(tiff([*odd, (274, 3, 1, 6)], order, big))
    assert image_size(tmp_path / "b.tif") == (4, 6)
    assert np.array_equal(load_image(tmp_path / "b.tif")[0][..., 0], np.rot90(grey, -1))


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "CMYK", "I;16", "1"])
def test_tiffs_of_all_kinds_read_as_pillow_reads_them(tmp_path, compression, mode):
    if compression == "jpeg" and mode not in ("RGB", "L", "CMYK"):
        pytest.skip("JPEG holds no such pixels")
    picture = PICTURE.convert("L").convert("I;16") if mode == "I;16" else PICTURE.convert(mode)
    picture.save(tmp_path / "a.tif", compression=None if compression == "raw" else compression)
    expected = Image.open(tmp_path / "a.tif").convert("RGBA" if mode in ("RGBA", "LA") else "RGB")
    if mode == "I;16":
        expected = np.zeros((24, 40, 3))  # 0 to 255 of 65535
    rgb = load_image(tmp_path / "a.tif")[0]
    assert np.abs(rgb - np.asarray(expected)[..., :3].astype(int)).max() <= (1 if mode == "I;16" else 0)


def test_frames_and_pages_are_counted(tmp_path):
    frames = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in (9, 90, 200)]
    for name in ("a.gif", "a.png", "a.webp", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert picture_facts(tmp_path / name).frames == 3, name
    PICTURE.save(tmp_path / "b.png")
    assert picture_facts(tmp_path / "b.png").frames == 1
    # A preview beside the picture is no page of its own.
    (tmp_path / "c.tif").write_bytes(tiff([], "<", False, pages=2))
    assert picture_facts(tmp_path / "c.tif").frames == 2
    (tmp_path / "d.tif").write_bytes(tiff([(254, 4, 1, 1)], "<", False, pages=2))
    assert picture_facts(tmp_path / "d.tif").frames == 1


def test_pillows_settings_are_left_as_they_are(tmp_path):
    before = (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, Image.MAX_IMAGE_PIXELS)
    (tmp_path / "a.png").write_bytes(png(PICTURE, chunk(b"zTXt", b"Comment\0\0" + LONG)))
    load_image(tmp_path / "a.png")
    assert before == (PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY, Image.MAX_IMAGE_PIXELS)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif", "a.gif", "a.bmp", "a.avif", "a.heic", "a.tga"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300), cut=st.integers(0, 900), at=st.integers(0, 900), bits=st.integers(1, 255))
def test_damaged_files_are_errors_that_name_the_file(tmp_path_factory, name, content, cut, at, bits):
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(name[2:], name[2:].upper())
    whole = b"" if kind in ("HEIC", "AVIF") else bytearray(encoded(PICTURE, kind))
    if whole:
        whole[at % len(whole)] ^= bits
    path = tmp_path_factory.mktemp("damaged") / name
    for damaged in (content, bytes(whole[:cut]), bytes(whole)):
        path.write_bytes(damaged)
        for read in (load_image, load_mask, image_size, picture_facts):
            with suppress(ImageError):
                read(path)
                continue
            with pytest.raises(ImageError, match=re.escape(str(path))):
                read(path)
