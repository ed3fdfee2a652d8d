"""Files for `benchmarks/torture.py`: what people's cameras, programs and disks make of them, from a seed.

Everything is drawn from the `random.Random` that is passed, so that a trial can be repeated.
"""

from __future__ import annotations

import io
import json
import struct
import unicodedata
import zlib
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import av
import numpy as np
from PIL import Image, ImageCms, PngImagePlugin, features

MODES = {
    ".png": ("L", "RGB", "RGBA", "P", "LA", "I;16", "1"),
    ".jpg": ("L", "RGB", "CMYK"),
    ".webp": ("RGB", "RGBA"),
    ".bmp": ("RGB", "L", "P", "1"),
    ".tif": ("L", "RGB", "RGBA", "CMYK", "I;16", "F", "1"),
    ".gif": ("P", "L"),
    **({".avif": ("RGB", "RGBA")} if features.check("avif") else {}),
}
# Whose metadata lie apart from what is needed to decode the pixels.
WITH_METADATA = tuple(suffix for suffix in (".png", ".jpg", ".webp", ".avif") if suffix in MODES)
# A family of four and a telephone, what joins them, and letters whose capitals are others than one would think.
LETTERS = (
    "abc", "äöüé", "名前写真", "\U0001f469\u200d\U0001f467\U0001f4f7", "اسم", "a b", "a.b", "a-_@#%", "'\"`$&;",
    "\u200b\ufeffx", "[]{}()*?", "İıſß",
)  # fmt: skip
# Bytes of one value of every type that a TIFF tag has.
TAG_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
HARMLESS_CHUNKS = ((b"tEXt", b"Comment\0x"), (b"pHYs", bytes(9)), (b"gAMA", bytes(4)), (b"tIME", bytes(7)))
VIDEO_KINDS = ((".mp4", "libx264", "yuv420p"), (".mkv", "ffv1", "yuv444p"), (".avi", "mjpeg", "yuvj420p"))


def pixels(random: Random, channels: int = 3, least: int = 16, most: int = 72) -> np.ndarray:
    """uint8 HWC of random size: a slope with noise, so that no two are alike."""
    height, width = random.randint(least, most), random.randint(least, most)
    noise = np.random.default_rng(random.getrandbits(32)).integers(0, 64, (height, width, channels))
    slope = np.linspace(0, 191, width)[None, :, None] + np.zeros((height, 1, channels))
    return (slope + noise).astype(np.uint8)


def picture(random: Random, suffix: str = "", mode: str = "", **options: Any) -> tuple[str, bytes]:
    """(suffix, content) of a picture that decodes."""
    suffix = suffix or random.choice(sorted(MODES))
    mode = mode or random.choice(MODES[suffix])
    grey = Image.fromarray(pixels(random)).convert("RGB")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(grey.convert("L")).astype(np.uint16) * 257)
    elif mode == "LA":
        image = grey.convert("RGBA").convert("LA")
    else:
        image = grey.convert(mode)
    stream = io.BytesIO()
    kind = {".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
    image.save(stream, kind, **options)
    return suffix, stream.getvalue()


def picture_with_metadata(random: Random) -> tuple[str, bytes, str]:
    """(suffix, content, what was put in): the pixels decode whatever the metadata are."""
    suffix = random.choice(WITH_METADATA)
    kinds = ["exif", "xmp", "icc"] + (["text", "checksum"] if suffix == ".png" else [])
    kind = random.choice(kinds)
    mode = random.choice([mode for mode in MODES[suffix] if mode in ("RGB", "RGBA", "L")])
    if kind == "checksum":
        return *_wrong_checksum(random, mode), kind
    options: dict[str, Any] = {}
    if kind == "exif":
        options = {"exif": _exif(random)}
    elif kind == "icc":
        options = {"icc_profile": _profile(random, 40_000 if suffix == ".jpg" else 2_000_000)}
    elif kind == "text" or suffix == ".png":
        options = {"pnginfo": _texts(random, kind)}
    else:
        options = {"xmp": _xmp(random)}
    try:
        return *picture(random, suffix, mode, **options), kind
    except (ValueError, OSError, SyntaxError, TypeError, struct.error, KeyError, OverflowError, AttributeError):
        # The encoder has views of its own about metadata.
        return *picture(random, suffix, mode), "none"


def damaged(random: Random, content: bytes) -> bytes:
    """What a broken copy, a full card or another program leaves of a file."""
    how = random.choice(("cut", "flip", "head", "more", "hole", "empty", "noise", "twice"))
    data = bytearray(content)
    if how == "cut":
        return bytes(data[: random.randrange(len(data) + 1)])
    if how in ("flip", "head"):
        end = len(data) if how == "flip" else min(len(data), 128)
        for _ in range(random.randint(1, 8)):
            if end:
                data[random.randrange(end)] = random.getrandbits(8)
        return bytes(data)
    if how == "more":
        return content + random.randbytes(random.randint(1, 500))
    if how == "hole":
        start = random.randrange(len(data) + 1)
        length = random.randint(1, 512)
        data[start : start + length] = bytes(len(data[start : start + length]))
        return bytes(data)
    if how == "twice":
        return content * 2
    return b"" if how == "empty" else random.randbytes(random.randint(1, 400))


def damaged_json(random: Random, text: str) -> str:
    """The same JSON with one to three of its values gone, or of another kind."""
    value = json.loads(text)
    for _ in range(random.randint(1, 3)):
        value = _one_changed(random, value)
    return json.dumps(value)


def damaged_safetensors(random: Random, content: bytes) -> bytes:
    """A whole file whose header says something else."""
    length = int.from_bytes(content[:8], "little")
    header = damaged_json(random, content[8 : 8 + length].decode()).encode()
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def any_json(random: Random) -> Any:
    """A value that JSON can hold and that nobody expects."""
    return random.choice(
        (None, True, -1, 0, 2**70, 1e308, -0.5, "", "x", "\x00", "../..", [], [[]], {}, {"a": 1}, [1, "2", None])
    )


def video(random: Random, path: Path) -> None:
    """A short video that decodes."""
    suffix, codec, pix_fmt = random.choice(VIDEO_KINDS)
    with av.open(str(path.with_suffix(suffix)), "w") as out:
        for key in random.sample(("title", "comment", "rotate", "creation_time"), 2):
            out.metadata[key] = random.choice(("x", "é" * 50, "2020-99-99", "-1", "\u202e"))
        stream = out.add_stream(codec, rate=Fraction(random.choice((1, 15, 24, 60))))
        stream.height, stream.width = 32, 48
        stream.pix_fmt = pix_fmt
        for _ in range(random.randint(1, 6)):
            rgb_HWC = np.ascontiguousarray(pixels(random, least=48, most=48)[:32])
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb_HWC, format="rgb24")))
        out.mux(stream.encode(None))


def name(random: Random) -> str:
    """A file's stem as people, telephones and other systems make them; at most 240 bytes."""
    letters = random.choice(
        (
            "abc",
            "äöüé",
            "名前写真",
            "👩‍👩‍👧📷",
            "اسم",
            "a b",
            "a.b",
            "a-_@#%",
            "'\"`$&;",
            "\u200b\ufeffx",
            "[]{}()*?",
            "İıſß",
        )
    )
    stem = "".join(random.choice(letters) for _ in range(random.choice((1, 3, 12, 60, 240))))
    stem = unicodedata.normalize(random.choice(("NFC", "NFD")), stem)
    stem = random.choice(("", "", "", " ", "-", "IMG_0001 ", "~", "#", "con", "10_")) + stem
    while len(stem.encode()) > 240:
        stem = stem[:-1]
    return stem.strip(".") or "x"


def _exif(random: Random) -> bytes:
    """A block of one to three entries whose types, counts and values fit or not."""
    tags = (0x0112, 0x010F, 0x0110, 0x0131, 0x0132, 0x8298, 0x9003, 0x9286, 0xA002, 0x011A, 0x8825, 0x8769, 0x927C)
    count = random.randint(1, 3)
    entries, extra = b"", b""
    start = 8 + 2 + 12 * count + 4
    for _ in range(count):
        tag = random.choice(tags) if random.random() < 0.7 else random.getrandbits(16)
        kind, values = random.randint(1, 13), random.choice((0, 1, 1, 2, 5, 40, 70_000))
        size = TAG_BYTES[kind] * min(values, 40)
        content = random.choice((random.randbytes(size), bytes(size), b"\xff" * size, b"caf\xe9 "[: size or 1] * 8))[
            :size
        ]
        if size <= 4:
            field = content.ljust(4, b"\0")
        else:
            field, extra = struct.pack("<I", start + len(extra)), extra + content
        entries += struct.pack("<HHI", tag, kind, values) + field
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, count) + entries + bytes(4) + extra


def _xmp(random: Random) -> bytes:
    value = random.choice(("6", "99", "", "x", "-1", "6.5"))
    whole = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{value}"/>'
        "</rdf:RDF></x:xmpmeta>"
    ).encode()
    return random.choice((whole, whole[: random.randrange(len(whole))], random.randbytes(200), b"", whole * 50))


def _profile(random: Random, most: int) -> bytes:
    whole = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return random.choice((whole, damaged(random, whole), random.randbytes(300), whole + bytes(random.randint(1, most))))


def _texts(random: Random, kind: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    if kind == "xmp":
        info.add_itxt("XML:com.adobe.xmp", _xmp(random).decode("latin-1"))
        return info
    for _ in range(random.randint(1, 4)):
        text = random.choice(("", "x", "é" * 100, "a" * 300_000, "\n" * 50, "{}", "\x00"))
        if random.random() < 0.5:
            info.add_text(random.choice(("Comment", "parameters", "prompt", "x" * 79)), text, zip=random.random() < 0.5)
        else:
            info.add_itxt("Raw profile type exif", text, zip=random.random() < 0.5)
    return info


def _wrong_checksum(random: Random, mode: str) -> tuple[str, bytes]:
    """A PNG with a chunk that carries no pixels and whose checksum is wrong."""
    suffix, content = picture(random, ".png", mode)
    kind, body = random.choice(
        ((b"tEXt", b"Comment\0x"), (b"pHYs", bytes(9)), (b"gAMA", bytes(4)), (b"tIME", bytes(7)))
    )
    checksum = zlib.crc32(kind + body) ^ 1
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)
    return suffix, content[:33] + chunk + content[33:]


def _one_changed(random: Random, value: Any) -> Any:
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(sorted(value))
        if random.random() < 0.2:
            return {other: kept for other, kept in value.items() if other != key}
        return {**value, key: _one_changed(random, value[key])}
    if isinstance(value, list) and value and random.random() < 0.9:
        at = random.randrange(len(value))
        return [*value[:at], _one_changed(random, value[at]), *value[at + 1 :]]
    return any_json(random)
