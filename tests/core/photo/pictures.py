"""Picture files made by hand: chunks, segments, directories, profiles and a camera's raw file."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

D50 = (0.9642, 1.0, 0.8249)
# Primaries as XYZ under D50 (columns R, G, B), and the exponent of the curve; None is sRGB's own curve.
PRIMARIES = {
    "sRGB": ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410)),
    "Display P3": ((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407)),
    "Adobe RGB": ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457)),
    "ProPhoto": ((0.79767, 0.13519, 0.03135), (0.28804, 0.71188, 0.00009), (0.0, 0.0, 0.82491)),
}
GAMMA = {"sRGB": None, "Display P3": None, "Adobe RGB": 563 / 256, "ProPhoto": 1.8}


def chunk(kind: bytes, content: bytes, right: bool = True) -> bytes:
    check = zlib.crc32(kind + content) ^ (not right)
    return len(content).to_bytes(4, "big") + kind + content + check.to_bytes(4, "big")


def png(image: Image.Image, *chunks: bytes, behind: bytes = b"") -> bytes:
    """A PNG with more chunks before its pixels, and some behind them."""
    content = encoded(image, "PNG")
    return content[:33] + b"".join(chunks) + content[33:-12] + behind + content[-12:]


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(image: Image.Image, *segments: bytes) -> bytes:
    content = encoded(image, "JPEG", quality=95)
    return content[:2] + b"".join(segments) + content[2:]


def exif(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """An EXIF block of (tag, type, count, four bytes)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(entries))
    return head + b"".join(struct.pack(order + "HHI", *entry[:3]) + entry[3] for entry in entries) + bytes(4)


def s15(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _profile(space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ", device: bytes = b"mntr") -> bytes:
    place = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, place + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s12x4s", place + len(body), bytes(4), 0x02400000, device, space, connection, b"acsp")
    head = head.ljust(68, b"\0") + b"".join(map(s15, D50))
    return head.ljust(128, b"\0") + table + body


def _curve(exponent: float | None) -> bytes:
    steps = np.arange(1024) / 1023
    if exponent is None:
        linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    else:
        linear = steps**exponent
    return b"curv" + bytes(4) + struct.pack(">I", 1024) + np.round(linear * 65535).astype(">u2").tobytes()


def profile(name: str) -> bytes:
    """An RGB profile of matrix and curves."""
    columns = zip(*PRIMARIES[name], strict=True)
    xyz = {
        key: b"XYZ " + bytes(4) + b"".join(map(s15, column))
        for key, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
    }
    white = b"XYZ " + bytes(4) + b"".join(map(s15, D50))
    curve = _curve(GAMMA[name])
    words = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    return _profile(
        b"RGB ",
        {b"desc": words, b"wtpt": white, **xyz, **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)},
    )


def grey_profile(exponent: float) -> bytes:
    white = b"XYZ " + bytes(4) + b"".join(map(s15, D50))
    words = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    return _profile(b"GRAY", {b"desc": words, b"wtpt": white, b"kTRC": _curve(exponent)})


def cmyk_profile(corners: np.ndarray) -> bytes:
    """A press profile: `corners` (2,2,2,2,3) are the sRGB colours (0 to 255) of no and full cyan, magenta, yellow and
    black; mixtures lie between them in Lab."""
    steps = corners / 255
    linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    ratio = linear @ np.array(PRIMARIES["sRGB"]).T / np.array(D50)
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = np.moveaxis(root, -1, 0)
    lab = np.stack([(116 * y - 16) * 2.55, 500 * (x - y) + 128, 200 * (y - z) + 128], -1)
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0))
    table += (
        b"".join(map(s15, (1, 0, 0, 0, 1, 0, 0, 0, 1))) + 4 * ramp + lab.round().astype(np.uint8).tobytes() + 3 * ramp
    )
    white = b"XYZ " + bytes(4) + b"".join(map(s15, D50))
    words = b"desc" + bytes(4) + struct.pack(">I", 2) + b"x\0" + bytes(78)
    return _profile(b"CMYK", {b"desc": words, b"wtpt": white, b"A2B0": table}, b"Lab ", b"prtr")


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def to_srgb(rgb_HWC: np.ndarray, name: str) -> np.ndarray:
    """What the colours of a profile are in sRGB, by the definition: curve, matrix, inverse matrix, sRGB's curve."""
    steps = rgb_HWC / 255
    exponent = GAMMA[name]
    if exponent is None:
        linear = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    else:
        linear = steps**exponent
    matrix = np.linalg.inv(np.array(PRIMARIES["sRGB"])) @ np.array(PRIMARIES[name])
    linear = np.clip(linear @ matrix.T, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055) * 255


def dng(linear_HWC: np.ndarray, orientation: int = 1, neutral: tuple[float, float, float] = (0.5, 1.0, 0.6)) -> bytes:
    """A Bayer DNG of a scene in linear sRGB in [0, 1], seen by a sensor whose white is `neutral`."""
    height, width = linear_HWC.shape[:2]
    seen = np.clip(linear_HWC * np.array(neutral) * 60000, 0, 65535).astype("<u2")
    cells = np.empty((height, width), "<u2")
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        cells[row::2, column::2] = seen[row::2, column::2, channel]
    to_xyz = np.array(
        ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.072175), (0.0193339, 0.119192, 0.9503041))
    )
    to_camera = np.diag(neutral) @ np.linalg.inv(to_xyz)
    short, long = lambda *v: struct.pack(f"<{len(v)}H", *v), lambda *v: struct.pack(f"<{len(v)}I", *v)
    entries = {
        254: (4, 1, long(0)), 256: (4, 1, long(width)), 257: (4, 1, long(height)), 258: (3, 1, short(16)),
        259: (3, 1, short(1)), 262: (3, 1, short(32803)), 271: (2, 5, b"Test\0"), 272: (2, 5, b"Test\0"),
        273: (4, 1, b""), 274: (3, 1, short(orientation)), 277: (3, 1, short(1)), 278: (4, 1, long(height)),
        279: (4, 1, long(2 * width * height)), 33421: (3, 2, short(2, 2)), 33422: (1, 4, bytes((0, 1, 1, 2))),
        50706: (1, 4, bytes((1, 4, 0, 0))), 50707: (1, 4, bytes((1, 1, 0, 0))), 50708: (2, 5, b"Test\0"),
        50714: (4, 1, long(0)), 50717: (4, 1, long(60000)),
        50721: (10, 9, b"".join(struct.pack("<ii", round(v * 10000), 10000) for v in to_camera.ravel())),
        50728: (5, 3, b"".join(struct.pack("<II", round(v * 10000), 10000) for v in neutral)), 50778: (3, 1, short(21)),
    }  # fmt: skip
    place = 8 + 2 + 12 * len(entries) + 4
    directory, values = b"", b""
    pixels_at = place + sum(len(v) + len(v) % 2 for _, _, v in entries.values() if len(v) > 4)
    for tag, (kind, count, value) in sorted(entries.items()):
        if tag == 273:
            value = long(pixels_at)
        elif len(value) > 4:
            value, values = long(place + len(values)), values + value + bytes(len(value) % 2)
        directory += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"II*\0" + long(8) + short(len(entries)) + directory + bytes(4) + values + cells.tobytes()


def corner() -> np.ndarray:
    """Grey, with red in the upper left."""
    pixels = np.full((48, 80, 3), 90, np.uint8)
    pixels[:16, :24] = (220, 20, 20)
    return pixels


def is_red(rgb: np.ndarray) -> bool:
    return int(rgb[0]) > int(rgb[1]) + 60


def corners(rgb: np.ndarray) -> list[bool]:
    return [is_red(rgb[y, x]) for y, x in ((4, 4), (4, -4), (-4, 4), (-4, -4))]
