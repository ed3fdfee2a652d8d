"""Splits a picture file into what its pixels need and its metadata: no metadata, however odd, stops a picture.

PNG, JPEG, TIFF and AVIF files are handed to Pillow without it, because Pillow reads all of it when a file is opened and
raises at what is odd. Orientation, colour profile and number of frames are read here, as far as they can be.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, cast

from .formats import Kind
from .spliced_file import Piece, SplicedFile
from .tiff_tags import (
    ORIENTATION,
    content_of,
    count_pages,
    orientation_in_exif,
    read_directory,
    read_layout,
    whole_number,
)

_MOST_BYTES = 64 << 20
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=[\"']|>)\s*([1-8])")
# PNG chunks without which its pixels mean something else; those of an animation are not among them, nor is metadata.
_PNG_PIXELS = (b"tRNS",)
_PNG_SAID = (b"eXIf", b"iCCP", b"acTL", b"gAMA", b"cHRM", b"sRGB", b"cICP")
_PNG_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
_SRGB_GAMMA = 45455
_SRGB_PRIMARIES = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
# TIFF tags that say where the pixels lie and how they are stored.
_TIFF_PIXELS = frozenset((
    256, 257, 258, 259, 262, 263, 266, 273, 277, 278, 279, 284, 290, 291, 292, 293, 301, 317, 320, 321, 322, 323, 324,
    325, 332, 334, 336, 338, 339, 340, 341, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 33432,
    50674,
))  # fmt: skip
_TIFF_PROFILE, _TIFF_XMP = 34675, 700


class DamagedPicture(ValueError):
    """A picture file without the pixels that it announces; the text says what is missing."""


@dataclass(frozen=True)
class PictureMetadata:
    """What a file says beside its pixels. `orientation` is EXIF's, 1 to 8; `profile` an ICC profile or empty; `frames`
    how many pictures the file holds (1 where it is not read here); `untagged`: it names colours other than sRGB's
    in a way that is not applied."""

    orientation: int = 1
    profile: bytes = b""
    frames: int = 1
    untagged: bool = False


def split_metadata(stream: BinaryIO, kind: Kind) -> tuple[BinaryIO, PictureMetadata]:
    """The file as its pixels need it, and what stands beside them. DamagedPicture where pixels are missing."""
    readers: dict[Kind, Callable[[BinaryIO], tuple[list[Piece], PictureMetadata] | None]] = {
        Kind.PNG: _split_png,
        Kind.JPEG: _split_jpeg,
        Kind.TIFF: _split_tiff,
        Kind.AVIF: _split_avif,
    }
    found = readers[kind](stream) if kind in readers else None
    if found is None:
        stream.seek(0)
        return stream, PictureMetadata()
    return cast(BinaryIO, io.BufferedReader(SplicedFile(stream, found[0]), 1 << 16)), found[1]


def orientation_of(exif: bytes, xmp: bytes = b"") -> int:
    """The orientation that EXIF says, else XMP, else 1."""
    return orientation_in_exif(exif) or _orientation_in_xmp(xmp) or 1


def _orientation_in_xmp(xmp: bytes) -> int | None:
    found = _XMP_ORIENTATION.search(xmp)
    return int(found[1]) if found else None


def _split_png(stream: BinaryIO) -> tuple[list[Piece], PictureMetadata]:
    size = stream.seek(0, io.SEEK_END)
    pieces: list[Piece] = [(0, 8)]
    said: dict[bytes, bytes] = {}
    texts: list[tuple[bytes, bytes]] = []
    place, pixels = 8, 0
    while place + 8 <= size:
        stream.seek(place)
        length, kind = struct.unpack(">I4s", stream.read(8))
        whole = place + 12 + length <= size
        if kind == b"IEND":
            break
        if kind in _PNG_PIXELS or (kind[:1].isupper()):
            if not whole:
                raise DamagedPicture(f"the file ends within its chunk {kind.decode('latin-1')}")
            pieces.append((place, 12 + length))
            pixels += kind == b"IDAT"
        elif whole and length <= _MOST_BYTES and kind in _PNG_SAID:
            said.setdefault(kind, stream.read(length))
        elif whole and length <= _MOST_BYTES and kind in (b"tEXt", b"zTXt", b"iTXt"):
            head = stream.read(min(length, 32))
            if head.startswith((b"XML:com.adobe.xmp\0", b"Raw profile type exif\0", b"Raw profile type APP1\0")):
                texts.append((kind, head + stream.read(length - len(head))))
        place += 12 + length
    if not pixels:
        raise DamagedPicture("it holds no pixels")
    exif, xmp = said.get(b"eXIf", b""), b""
    for kind, content in texts:
        if content.startswith(b"XML"):
            xmp = xmp or _png_text(kind, content)
        else:
            exif = exif or _parse_hexadecimal(_png_text(kind, content))
    frames = struct.unpack(">I", said[b"acTL"][:4])[0] if len(said.get(b"acTL", b"")) >= 4 else 1
    return [*pieces, _PNG_END], PictureMetadata(
        orientation_of(exif, xmp), _png_profile(said), max(1, frames), _is_untagged(said)
    )


def _png_text(kind: bytes, content: bytes) -> bytes:
    text = content.partition(b"\0")[2]
    if kind == b"tEXt":
        return text
    if kind == b"zTXt":
        return _inflate(text[1:])
    compressed, rest = text[:1] == b"\1", text[2:].partition(b"\0")[2].partition(b"\0")[2]
    return _inflate(rest) if compressed else rest


def _parse_hexadecimal(text: bytes) -> bytes:
    # ImageMagick's form: a line break, a name, a length, then the bytes as hexadecimal lines.
    lines = text.strip().split(b"\n")[2:]
    digits = b"".join(b"".join(lines).split())
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""


def _png_profile(said: dict[bytes, bytes]) -> bytes:
    # cICP and sRGB stand above and below iCCP in the PNG specification; sRGB beside a profile is not allowed.
    _, found, rest = said.get(b"iCCP", b"").partition(b"\0")
    return (_inflate(rest[1:]) or b"\0") if found else b""


def _is_untagged(said: dict[bytes, bytes]) -> bool:
    """Whether gAMA, cHRM or cICP name other colours than sRGB's and nothing else decides."""
    if b"cICP" in said:
        return said[b"cICP"][:2] != bytes((1, 13))
    if b"iCCP" in said or b"sRGB" in said:
        return False
    gamma, primaries = said.get(b"gAMA", b""), said.get(b"cHRM", b"")
    other_gamma = len(gamma) == 4 and abs(struct.unpack(">I", gamma)[0] - _SRGB_GAMMA) > 1000
    values = struct.unpack(">8I", primaries) if len(primaries) == 32 else _SRGB_PRIMARIES
    return other_gamma or any(abs(one - other) > 500 for one, other in zip(values, _SRGB_PRIMARIES, strict=True))


def _inflate(content: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(content, _MOST_BYTES)
    except zlib.error:
        return b""


def _split_jpeg(stream: BinaryIO) -> tuple[list[Piece], PictureMetadata]:
    size = stream.seek(0, io.SEEK_END)
    pieces: list[Piece] = [(0, 2)]
    exif = xmp = b""
    profile: dict[int, bytes] = {}
    place = 2
    while place + 4 <= size:
        stream.seek(place)
        fill, marker, length = struct.unpack(">BBH", stream.read(4))
        if fill == 0xFF and marker == 0xFF:
            place += 1
            continue
        if fill != 0xFF or marker < 0xC0 or 0xD0 <= marker <= 0xDA or length < 2:
            break  # the pixels, or something that the decoder has to judge
        if 0xE0 <= marker <= 0xEF or marker == 0xFE:
            content = stream.read(length - 2)
            if marker == 0xE1 and content.startswith(b"Exif\0"):
                exif = exif or content[6:]
            elif marker == 0xE1 and content.startswith(b"http://ns.adobe.com/xap/1.0/\0"):
                xmp = xmp or content
            elif marker == 0xE2 and content.startswith(b"ICC_PROFILE\0") and len(content) > 14:
                profile[content[12]] = content[14:]
            # The decoder tells colours by these two.
            needed = (marker == 0xE0 and content.startswith(b"JFIF\0") and len(content) >= 14) or (
                marker == 0xEE and content.startswith(b"Adobe") and len(content) >= 12
            )
        else:
            needed = True
        if needed:
            pieces.append((place, length + 2))
        place += length + 2
    pieces.append((place, max(0, size - place)))
    return pieces, PictureMetadata(orientation_of(exif, xmp), b"".join(profile[number] for number in sorted(profile)))


def _split_tiff(stream: BinaryIO) -> tuple[list[Piece], PictureMetadata] | None:
    layout = read_layout(stream)
    if layout is None:
        return None
    entries, _ = read_directory(stream, layout, layout.first)
    size = stream.seek(0, io.SEEK_END)
    if not entries:
        raise DamagedPicture("its directory is not in the file")
    pixels = [entry.raw for entry in entries if entry.tag in _TIFF_PIXELS]
    # A second directory behind the file, with what the pixels need, takes the first one's place.
    pad = size % 2
    stream.seek(0)
    start = stream.read(8 if layout.big else 4)
    header = start + struct.pack(layout.order + layout.field, size + pad)
    count = struct.pack(layout.order + ("Q" if layout.big else "H"), len(pixels))
    end = struct.pack(layout.order + layout.field, 0)
    pieces: list[Piece] = [header, (len(header), size - len(header)), b"\0" * pad + count + b"".join(pixels) + end]
    said = {entry.tag: entry for entry in reversed(entries)}
    turned = whole_number(layout, said[ORIENTATION]) if ORIENTATION in said else None
    xmp = content_of(stream, layout, said[_TIFF_XMP], _MOST_BYTES) if _TIFF_XMP in said else b""
    profile = content_of(stream, layout, said[_TIFF_PROFILE], _MOST_BYTES) if _TIFF_PROFILE in said else b""
    orientation = turned if turned is not None and 1 <= turned <= 8 else _orientation_in_xmp(xmp) or 1
    return pieces, PictureMetadata(orientation, profile, max(1, count_pages(stream, layout)))


def _split_avif(stream: BinaryIO) -> tuple[list[Piece], PictureMetadata] | None:
    """An item of EXIF gets a type that nobody reads: by the format, AVIF is turned by its own boxes alone."""
    stream.seek(0)
    content = stream.read()
    found = re.search(rb"infe.{4}(?:.{4}|.{6})Exif", content[: 1 << 20], re.DOTALL)
    if found is None:
        return None
    return [content[: found.end() - 4], b"skip", content[found.end() :]], PictureMetadata()
